"""The first `make` in a clone, when it cannot work: one clear line, and the next run is not misled."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.servers import clean_environment

CLONE = Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    for name in ("Makefile", "requirements.lock", "requirements-demo.lock", "pyproject.toml"):
        shutil.copy(CLONE / name, tmp_path)
    return tmp_path


def make(clone: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", *arguments],
        cwd=clone,
        env=clean_environment(**environment),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def own_lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What was said, without make's own last word."""
    return [line for line in done.stderr.splitlines() if not line.startswith("make")]


def test_help_is_the_default(clone: Path) -> None:
    done = make(clone)
    assert done.returncode == 0
    assert "make demo" in done.stdout
    assert not (clone / ".venv").exists()


@pytest.mark.parametrize("says", ["Python 3.9.1", "309"])
def test_an_old_python_is_refused(clone: Path, says: str) -> None:
    old = clone / "python3.9"
    old.write_text(f"#!/bin/sh\necho '{says}'\n")
    old.chmod(0o755)
    done = make(clone, "demo", f"PYTHON={old}")
    assert done.returncode == 2
    assert len(own_lines(done)) == 1
    assert "needs Python 3.11 or newer" in own_lines(done)[0]
    assert not (clone / ".venv").exists()


def test_a_broken_install_restarts_and_an_offline_one_fails(clone: Path) -> None:
    half = clone / ".venv" / "lib" / "half"
    half.parent.mkdir(parents=True)
    half.write_text("")
    (clone / ".venv" / ".installing").write_text("")
    for _ in range(2):  # the second run tries again
        done = make(clone, "demo", f"PYTHON={sys.executable}", "UV=", PIP_INDEX_URL="http://127.0.0.1:9/simple")
        assert done.returncode == 2
        assert "check the network" in own_lines(done)[-1]
        assert len(own_lines(done)) == 2
        assert not half.exists()
        assert not (clone / ".venv" / ".installed").exists()


def test_pip_is_tried_where_uv_fails(clone: Path) -> None:
    uv = clone / "uv"
    uv.write_text("#!/bin/sh\necho no certificate >&2\nexit 2\n")
    uv.chmod(0o755)
    done = make(clone, "demo", f"PYTHON={sys.executable}", f"UV={uv}", PIP_INDEX_URL="http://127.0.0.1:9/simple")
    assert done.returncode == 2
    assert "trying pip" in own_lines(done)[-2]
    assert "check the network" in own_lines(done)[-1]
    log = (clone / ".venv" / "install.log").read_text("utf-8")
    assert "no certificate" in log
    assert "127.0.0.1" in log


def test_an_install_killed_by_development_restarts(clone: Path) -> None:
    """Packages of both are in one folder: half of them may be those of the demo."""
    installed = clone / ".venv" / ".installed"
    installed.parent.mkdir()
    (clone / ".venv" / ".installing").write_text("")
    done = make(clone, "check", f"PYTHON={sys.executable}", "UV=", PIP_INDEX_URL="http://127.0.0.1:9/simple")
    assert done.returncode == 2
    assert "sesacctl and its servers" in own_lines(done)[0]
    assert not installed.exists()
