"""A pytest plugin for a run in a planted copy: nothing but the copy is imported, and the outcomes are written down.

`python -m tests.planted.inside MODULE …` runs a module so.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import sesacctl
from tests.helpers import servers

REPORT = "SESAC_PLANTED_REPORT"
COPY = Path(__file__).resolve().parent.parent.parent
_outcomes: dict[str, str] = {}


def pytest_configure() -> None:
    """The installed package points to the checkout: processes that tests start need the copy's path, too."""
    if "PYTHONPATH" not in servers.INHERITED:
        servers.INHERITED = (*servers.INHERITED, "PYTHONPATH")
    elsewhere = subprocess.run(
        [sys.executable, "-c", "import sesacctl, tests.helpers as t; print(sesacctl.__file__, t.__path__[0])"],
        env=servers.clean_environment(),
        cwd="/",
        capture_output=True,
        text=True,
        check=True,
    )
    found = [sesacctl.__file__, servers.__file__, *elsewhere.stdout.split()]
    if strange := [path for path in found if COPY not in Path(path).resolve().parents]:
        raise pytest.UsageError(f"imported from elsewhere than {COPY}: {strange}")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """`passed`, `failed` in the test itself, or `error` around it, which proves nothing."""
    if report.when == "call":
        _outcomes.setdefault(report.nodeid, report.outcome)
    elif report.outcome != "passed":
        _outcomes.setdefault(report.nodeid, "error")


def pytest_sessionfinish() -> None:
    """Hand the outcomes over."""
    Path(os.environ[REPORT]).write_text(json.dumps(_outcomes), encoding="utf-8")


if __name__ == "__main__":
    pytest_configure()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
