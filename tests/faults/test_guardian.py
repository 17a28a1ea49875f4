"""Nothing is left of a test run that is interrupted or killed: no server, no process, no folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sesacctl.testing import guardian
from tests.helpers import hanging
from tests.helpers.documents import ROOT
from tests.helpers.waiting import wait_until


def run_and_end(folder: Path, how: signal.Signals, *options: str) -> list[int]:
    """Have two servers started by a run of pytest, and end that run; the servers' pids."""
    file = folder / "pids"
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, "tests/helpers/hanging.py"],
        cwd=ROOT,
        env={**os.environ, hanging.FILE: str(file), "TMPDIR": str(folder)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: file.exists() or process.poll() is not None, message="the servers do not start")
        pids = [int(pid) for pid in file.read_text().split()]
        assert all(map(psutil.pid_exists, pids))
        if how is signal.SIGKILL:
            process.kill()
        else:
            os.killpg(process.pid, how)  # as a terminal does
    finally:
        process.wait(60)
    return pids


_WORKERS = ("-n", "2")


@pytest.mark.parametrize(
    ("how", "options"),
    [(signal.SIGINT, _WORKERS), (signal.SIGTERM, ()), (signal.SIGKILL, ()), (signal.SIGKILL, _WORKERS)],
    ids=["interrupted workers", "ended", "killed", "killed with workers left"],
)
def test_an_ended_run_leaves_no_server(short_path: Path, how: signal.Signals, options: tuple[str, ...]) -> None:
    before = _guardians()
    pids = run_and_end(short_path, how, *options)
    wait_until(lambda: not any(map(_runs, pids)), message="a server is left")
    wait_until(lambda: _guardians() <= before, message="its guardian does not end")


def _guardians() -> set[int]:
    found = psutil.process_iter(["pid", "cmdline"])
    return {each.info["pid"] for each in found if guardian.__name__ in (each.info["cmdline"] or [])}


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
