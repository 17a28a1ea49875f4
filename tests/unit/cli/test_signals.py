"""What a terminal sends: Ctrl-C twice, Ctrl-Z and `fg`, and the end of the terminal itself."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sesacctl.errors import INTERRUPTED_TWICE

SHOW_CURSOR, HIDE_CURSOR = b"\x1b[?25h", b"\x1b[?25l"
STOPPING = """
import os, signal
from sesacctl.cli.signals import stop_event
stop = stop_event()
"""
TWICE = f"""{STOPPING}
os.kill(os.getpid(), signal.SIGINT)
assert stop.wait(10)
os.kill(os.getpid(), signal.SIGINT)
stop.clear()
stop.wait(10)
"""
# A shell with job control, which continues after the command was stopped, and resumes it after a line of input.
SHELL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp("bash", ["bash", "-mc", '"$0" -c "$1"; echo shell is back; read line; fg; echo ended with $?', *sys.argv[1:]])
"""
WATCHING = """
from rich.text import Text
from sesacctl.cli import render
from sesacctl.cli.options import Output
from sesacctl.cli.signals import stop_event
render.watch(lambda: None, 0.1, stop_event(), Output.TABLE, lambda nothing: Text("still here"))
"""


class Terminal:
    """What a program shows on a terminal; `until` reads on."""

    def __init__(self, keyboard: int) -> None:
        self.keyboard = keyboard

    def until(self, text: bytes) -> bytes:
        """What is shown up to `text`."""
        shown, deadline = b"", time.monotonic() + 30
        while text not in shown:
            assert time.monotonic() < deadline, shown
            shown += os.read(self.keyboard, 1)
        return shown

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self.keyboard, keys)


@contextmanager
def shell(script: str) -> Iterator[Terminal]:
    """Bash on a terminal of its own, with a Python script in the foreground."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen(
        [sys.executable, "-c", SHELL, sys.executable, script],
        env=environment, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    try:
        yield Terminal(ours)
        assert process.wait(30) == 0
    finally:
        os.close(ours)
        process.kill()
        process.wait()


def test_the_second_one_gives_the_terminal_its_cursor_back() -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run([sys.executable, "-c", TWICE], stderr=theirs, check=False, timeout=30)
    os.close(theirs)
    assert done.returncode == INTERRUPTED_TWICE
    assert os.read(ours, 100) == SHOW_CURSOR
    os.close(ours)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_first_signal_only_asks(number: int) -> None:
    script = f"{STOPPING}\nos.kill(os.getpid(), {int(number)})\nassert stop.wait(10)"
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=30).returncode == 0


def test_nohup_is_respected() -> None:
    script = f"""
import signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
{STOPPING}
os.kill(os.getpid(), signal.SIGHUP)
assert not stop.wait(0.2)
os.kill(os.getpid(), signal.SIGTERM)
assert stop.wait(10)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False, timeout=30).returncode == 0


def test_ctrl_z_shows_the_cursor_and_fg_draws_the_screen_again() -> None:
    with shell(WATCHING) as terminal:
        assert HIDE_CURSOR in terminal.until(b"still here")
        terminal.type(b"\x1a")
        stopped = terminal.until(b"shell is back")
        assert stopped.rfind(SHOW_CURSOR) > stopped.rfind(HIDE_CURSOR), stopped
        terminal.type(b"\n")
        resumed = terminal.until(b"still here")
        assert resumed.endswith(b"still here")
        assert HIDE_CURSOR in resumed
        terminal.type(b"\x1a")  # and once more
        assert SHOW_CURSOR in terminal.until(b"ended with")
