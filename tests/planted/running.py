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
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.planted.inside import REPORT
from tests.planted.plant import STORM, Plant, StalePlant

ROOT = Path(__file__).resolve().parent.parent.parent
CAUGHT, MISSED, STALE, BROKEN = "caught", "MISSED", "stale", "broken"
_LEFT_OUT = shutil.ignore_patterns(
    ".*_cache", ".git", ".venv*", ".sesac", ".hypothesis", "__pycache__", "dist", "build", "site"
)
_SECONDS, _SECONDS_EACH = 600.0, 30.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a plant: caught, MISSED (some test did not notice), stale, or broken (the run says nothing).

    `detail` names the tests that caught it, or what is wrong.
    """

    plant: str
    state: str
    seconds: float
    detail: str = ""


def baseline(tests: Sequence[str], home: Path) -> set[str]:
    """Run tests without any bug: those that are not green, so that their failing would say nothing."""
    with copy_of_checkout() as folder:
        outcomes = _run(folder, tests, home)
    return {name for name in tests if _summary(outcomes, name) != {"passed"}}


def unfounded(plant: Plant, red: Set[str]) -> Verdict:
    """Of a plant with tests that are red without it."""
    return Verdict(plant.name, BROKEN, 0.0, f"red without it: {', '.join(sorted(red & set(plant.tests)))}")


def judge(plant: Plant, home: Path) -> Verdict:
    """Plant a bug and see whether each of its tests notices."""
    began = time.monotonic()
    try:
        with copy_of_checkout() as folder:
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
    return Verdict(plant.name, CAUGHT, seconds, f"by {', '.join(map(_short, plant.tests))}")


def _short(test: str) -> str:
    """Without the folders."""
    return test if test.startswith(STORM) else test.rpartition("/")[2]


def _summary(outcomes: Mapping[str, str], name: str) -> set[str]:
    return {state for node, state in outcomes.items() if node == name or node.startswith(f"{name}[")}


@contextmanager
def copy_of_checkout() -> Iterator[Path]:
    """A folder that a bug may be planted in; deleted in the end."""
    with tempfile.TemporaryDirectory(prefix="sesac-planted-") as parent:
        folder = Path(parent).resolve() / "copy"
        shutil.copytree(ROOT, folder, ignore=_LEFT_OUT, symlinks=True)
        yield folder


def _run(folder: Path, tests: Sequence[str], home: Path) -> dict[str, str]:
    """The outcome of each test by its node id, of each storm by its name; what did not run to its end has none."""
    report = folder.parent / "report.json"
    report.write_text("{}", encoding="utf-8")
    storms = [name for name in tests if name.startswith(STORM)]
    outcomes = {name: outcome for name in storms if (outcome := _storm(folder, name))}
    if nodes := [name for name in tests if name not in storms]:
        pytest = ["-m", "pytest", "-p", "tests.planted.inside", "-p", "no:cacheprovider", "-q", *nodes]
        environment = {"SESAC_TEST_HOME": str(home), REPORT: str(report)}
        if _code(folder, pytest, environment, seconds=_SECONDS + _SECONDS_EACH * len(nodes)) in (0, 1):
            outcomes |= json.loads(report.read_text("utf-8"))
    return outcomes


def _storm(folder: Path, name: str) -> str | None:
    """The processes that it starts have the copy's path, as those of tests have."""
    options = name.removeprefix(STORM).split()
    return {0: "passed", 5: "failed"}.get(_code(folder, ["-m", "tests.planted.inside", "tests.faults", *options], {}))


def _code(folder: Path, arguments: Sequence[str], environment: Mapping[str, str], *, seconds: float = _SECONDS) -> int:
    """The exit code of a Python that runs in the copy, -1 if it did not end in time; the log of one that is odd."""
    with (folder.parent / "log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(seconds)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                return -1
            raise
        if code not in (0, 1, 5):
            log.seek(0)
            print(log.read(), file=sys.stderr)
    return code
