"""`make demo` installs a part of what `make test` installs, by hash, and the checkout as an installer would."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import PathDistribution
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from sesacctl import __version__
from tests.helpers.documents import ROOT
from tests.release import editable


def locked(name: str) -> dict[str, str]:
    """Each package's version and hashes, by its name; for which Pythons it is may differ, by who needs it."""
    text = (ROOT / name).read_text("utf-8")
    found = re.findall(r"^([a-z0-9-]+)==(\S+).*\n((?:    .*\n)+)", text, re.MULTILINE)
    return {package: version + hashes for package, version, hashes in found}


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return found


def test_both_locks_hold_the_same_packages() -> None:
    part, all_ = locked("requirements-demo.lock"), locked("requirements.lock")
    assert len(part) > 40
    assert part.items() <= all_.items(), "make lock writes both"


def test_the_demo_gets_what_commands_need_and_no_tools(project: dict[str, Any]) -> None:
    part = locked("requirements-demo.lock")
    extras = project["optional-dependencies"]
    needed = [*project["dependencies"], *extras["local"], *extras["metrics"], *extras["web"]]
    assert {Requirement(each).name.lower() for each in needed} <= part.keys()
    assert not part.keys() & {"pytest", "ruff", "mypy", "hatchling", "hypothesis", "playwright"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> PathDistribution:
    """What hatchling says of the checkout."""
    folder = tmp_path_factory.mktemp("built")
    code = f"from hatchling.build import build_editable as f; f({str(folder)!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    return PathDistribution(zipfile.Path(next(folder.iterdir())) / f"sesacctl-{__version__}.dist-info/")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """site-packages of an environment that the script has written to; its path has a blank."""
    environment = tmp_path / "새싹 env"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    for _ in range(2):  # the second one replaces the first
        subprocess.run([environment / "bin" / "python", ROOT / "tests" / "release" / "editable.py"], check=True)
    return next(environment.glob("lib/python3*/site-packages"))


def test_an_installer_would_note_the_same(built: PathDistribution, installed: Path) -> None:
    [folder] = installed.glob("sesacctl-*.dist-info")
    ours = PathDistribution(folder)
    assert (ours.name, ours.version) == (built.name, built.version)
    assert set(map(Requirement, ours.requires or ())) == set(map(Requirement, built.requires or ()))
    assert ours.metadata["Requires-Python"] == built.metadata["Requires-Python"]
    assert sorted(ours.metadata.get_all("Provides-Extra") or ()) == sorted(
        built.metadata.get_all("Provides-Extra") or ()
    )
    assert set(ours.entry_points) == set(built.entry_points)


def test_the_command_works_from_a_path_with_a_blank(installed: Path, tmp_path: Path) -> None:
    command = installed.parents[2] / "bin" / "sesacctl"
    done = subprocess.run([command, "--version"], cwd=tmp_path, capture_output=True, text=True, check=True)
    [folder] = installed.glob("sesacctl-*.dist-info")
    assert done.stdout == f"sesacctl {PathDistribution(folder).version}\n"


def test_what_was_noted_can_be_removed(installed: Path) -> None:
    editable.remove(installed)
    assert not list(installed.glob("*sesacctl*"))
    assert not (installed.parents[2] / "bin" / "sesacctl").exists()
