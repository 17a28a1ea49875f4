"""Only our own processes are found and signalled."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from sesacctl.errors import ServerNotStarted
from sesacctl.stack.process import Program, stop, wait_ready
from tests.helpers.waiting import wait_until

WAITS = "import signal; print('here', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); signal.pause()"
ENDS = "print('I cannot')"


def program(folder: Path, code: str = WAITS) -> Program:
    marker = f"{folder}/own"
    return Program(
        name="a server",
        argv=(sys.executable, "-c", code, marker),
        marker=marker,
        cwd=folder,
        log=folder / "log",
        record=folder / "record.json",
    )


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[Program]:
    ours = program(tmp_path)
    yield ours
    stop([ours], signal.SIGKILL, seconds=5)


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the same program, with other arguments."""
    process = subprocess.Popen([sys.executable, "-c", WAITS, "other"], stdout=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()


def started(own: Program) -> Program:
    own.spawn()
    wait_until(lambda: own.tail(1) == ["here"])
    return own


def test_a_started_program_is_found_and_stopped(ours: Program) -> None:
    started(ours)
    assert ours.find() is not None
    assert stop([ours], signal.SIGTERM, seconds=5) == ["a server"]
    assert ours.find() is None
    assert stop([ours], signal.SIGTERM, seconds=5) == []


def test_a_reused_pid_is_never_signalled(ours: Program, stranger: subprocess.Popen[bytes]) -> None:
    ours.record.write_text(json.dumps({"pid": stranger.pid}))
    assert ours.find() is None
    assert stop([ours], signal.SIGKILL, seconds=5) == []
    assert stranger.poll() is None


@pytest.mark.parametrize("record", [None, "", "[]", '{"pid": "x"}', '{"pid": 999999999}'])
def test_a_lost_or_damaged_record_does_not_lose_the_process(ours: Program, record: str | None) -> None:
    started(ours)
    if record is None:
        ours.record.unlink()
    else:
        ours.record.write_text(record)
    assert ours.find() is not None


def test_a_program_that_does_not_end_is_killed(tmp_path: Path) -> None:
    stubborn = started(program(tmp_path, STUBBORN))
    assert stop([stubborn], signal.SIGTERM, seconds=0.2) == ["a server"]
    assert stubborn.find() is None


def test_a_start_that_fails_shows_the_log(tmp_path: Path) -> None:
    failing = program(tmp_path, ENDS)
    failing.spawn()
    with pytest.raises(ServerNotStarted, match="a server ended while it was starting") as raised:
        wait_ready([failing], lambda: False, seconds=10, cancel=threading.Event())
    assert list(raised.value.log_lines) == ["I cannot"]


def test_a_silent_start_is_given_up(ours: Program) -> None:
    started(ours)
    with pytest.raises(ServerNotStarted, match="did not answer within 0 s"):
        wait_ready([ours], lambda: False, seconds=0.1, cancel=threading.Event())
    assert ours.find() is not None, "what runs is left alone"


@pytest.mark.usefixtures("ours")
def test_a_program_gets_none_of_our_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("POSTGRES_PASSWORD", "secret")
    shows = program(tmp_path, "import os; print(sorted(os.environ), flush=True)")
    shows.spawn()
    wait_until(lambda: shows.tail(1))
    assert "POSTGRES_PASSWORD" not in shows.tail(1)[0]
