"""The scripts of the GitHub Action and of the GitLab template, in order, in a clean clone with servers of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.helpers.documents import ROOT
from tests.helpers.servers import clean_environment
from tests.unit.project.test_habits import read

KIT = Path("deploy") / "ci"
ORDERS = "500"
REPORTS = ("health.xml", "audit.xml")
_SECONDS = 240
# These are sesacctl's own tests: the environment that they run in has it, and a download would take minutes.
_LEFT_OUT = ("Install", "Logs of the servers")


@pytest.fixture
def clone(short_path: Path) -> Iterator[Path]:
    """The last commit with this checkout's kit, in a folder whose local stack is stopped at the end."""
    folder = short_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", ROOT, folder], check=True, capture_output=True)
    for path in (ROOT / KIT).iterdir():
        (folder / KIT / path.name).write_bytes(path.read_bytes())
        (folder / KIT / path.name).chmod(path.stat().st_mode)
    yield folder
    stop = [sys.executable, "-m", "sesacctl", "down", "--purge", "--yes"]
    subprocess.run(stop, cwd=folder, env=clean_environment(), capture_output=True, check=False)


def environment(clone: Path, **variables: str) -> dict[str, str]:
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return clean_environment(PATH=programs, ORDERS=ORDERS, COLUMNS="100", SESAC_HOME=str(clone / ".sesac"), **variables)


def run(script: str, clone: Path, variables: dict[str, str], *, shell: tuple[str, ...]) -> str:
    done = subprocess.run(
        [*shell, script], cwd=clone, env=variables, capture_output=True, text=True, timeout=_SECONDS, check=False
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def check_reports(clone: Path) -> None:
    for name in REPORTS:
        [suite] = ElementTree.fromstring((clone / name).read_bytes())
        assert int(suite.attrib["tests"]) >= 3
        assert (suite.attrib["failures"], suite.attrib["errors"]) == ("0", "0")


def test_the_action_runs_in_a_clean_clone(clone: Path) -> None:
    steps: list[dict[str, Any]] = read(clone / KIT / "action.yml")["runs"]["steps"]
    summary, output = clone / "summary.md", clone / "output"
    variables = environment(
        clone,
        GITHUB_ACTION_PATH=str(clone / KIT),
        GITHUB_STEP_SUMMARY=str(summary),
        GITHUB_OUTPUT=str(output),
        RUN='psql --version >/dev/null 2>&1; test -n "$KAFKA_BOOTSTRAP_SERVERS"',
    )
    for step in steps:
        if "run" in step and step["name"] not in _LEFT_OUT:
            run(step["run"], clone, variables, shell=("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c"))
    assert output.read_text().startswith("version=sesacctl-")
    assert f"orders produced {ORDERS} = stored {ORDERS}, 0 missing, 0 duplicated" in summary.read_text("utf-8")
    assert not (clone / ".sesac").exists()
    check_reports(clone)


def test_the_template_runs_in_a_clean_clone(clone: Path) -> None:
    job: dict[str, Any] = read(clone / KIT / "gitlab.yml")[".sesacctl"]
    variables = environment(clone, CI_PROJECT_DIR=str(clone), RUN='test -n "$POSTGRES_HOST"')
    # The first two make the environment that this one stands in for. GitLab runs the rest in one shell.
    kept = [line for line in job["before_script"] if "sesacctl" in line.split()]
    assert [line.split()[1] for line in kept] == ["fetch", "up"]
    run("\n".join([*kept, *job["script"]]), clone, variables, shell=("bash", "-eo", "pipefail", "-c"))
    assert "0 missing, 0 duplicated" in (clone / "demo.txt").read_text("utf-8")
    check_reports(clone)
    [last] = job["after_script"]
    run(last.replace(".venv-sesacctl/bin/", ""), clone, variables, shell=("bash", "-c"))
    assert not (clone / ".sesac").exists()
