"""Plants one bug at a time into a copy of this checkout, and runs the tests that are to notice it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.planted.inside import REPORT
from tests.planted.plants import Plant, StalePlant

ROOT = Path(__file__).resolve().parent.parent.parent
CAUGHT, MISSED, STALE, BROKEN = "red", "GREEN", "stale", "broken"
_LEFT_OUT = shutil.ignore_patterns(
    ".*_cache", ".git", ".venv*", ".sesac", ".hypothesis", "__pycache__", "dist", "build", "site"
)
_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a plant: red, GREEN (some test did not notice), stale, or broken (the run says nothing)."""

    plant: str
    state: str
    seconds: float
    detail: str = ""


def baseline(tests: Sequence[str], home: Path) -> str:
    """Run tests without any bug; why their failing would say nothing, or an empty text."""
    with _copy() as folder:
        outcomes = _run(folder, tests, home)
    wrong = [name for name in tests if _summary(outcomes, name) != {"passed"}]
    return f"not green without a plant: {', '.join(wrong)}" if wrong else ""


def judge(plant: Plant, home: Path) -> Verdict:
    """Plant a bug and see whether each of its tests notices."""
    began = time.monotonic()
    try:
        with _copy() as folder:
            file = folder / plant.file
            file.write_text(plant.apply(file.read_text("utf-8")), encoding="utf-8")
            outcomes = _run(folder, plant.tests, home)
    except StalePlant as stale:
        return Verdict(plant.name, STALE, 0.0, str(stale))
    return weigh(plant, outcomes, time.monotonic() - began)


def weigh(plant: Plant, outcomes: Mapping[str, str], seconds: float) -> Verdict:
    """A test with parameters has noticed if it failed with some of them."""
    found = {name: _summary(outcomes, name) for name in plant.tests}
    if missed := [name for name, states in found.items() if states == {"passed"}]:
        return Verdict(plant.name, MISSED, seconds, f"not caught by {', '.join(missed)}")
    if broken := [name for name, states in found.items() if "failed" not in states]:
        return Verdict(plant.name, BROKEN, seconds, f"did not run to the end: {', '.join(broken)}")
    return Verdict(plant.name, CAUGHT, seconds)


def _summary(outcomes: Mapping[str, str], name: str) -> set[str]:
    return {state for node, state in outcomes.items() if node == name or node.startswith(f"{name}[")}


@contextmanager
def _copy() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sesac-planted-") as parent:
        folder = Path(parent).resolve() / "copy"
        shutil.copytree(ROOT, folder, ignore=_LEFT_OUT, symlinks=True)
        yield folder


def _run(folder: Path, tests: Sequence[str], home: Path) -> dict[str, str]:
    """The outcome of each test by its node id; what did not run to its end has none."""
    report = folder.parent / "report.json"
    log = (folder.parent / "log").open("w+", encoding="utf-8")
    with log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "tests.planted.inside", "-p", "no:cacheprovider", "-q", *tests],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), "SESAC_TEST_HOME": str(home), REPORT: str(report)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(_SECONDS)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                return {}
            raise
        if code not in (0, 1):
            log.seek(0)
            print(log.read(), file=sys.stderr)
            return {}
    outcomes: dict[str, str] = json.loads(report.read_text("utf-8"))
    return outcomes
