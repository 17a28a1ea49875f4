"""The second Ctrl-C."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

from sesacctl.errors import INTERRUPTED_TWICE


def test_the_second_one_gives_the_terminal_its_cursor_back() -> None:
    script = """
import os, signal
from sesacctl.cli.signals import stop_event
stop = stop_event()
os.kill(os.getpid(), signal.SIGINT)
assert stop.wait(10)
os.kill(os.getpid(), signal.SIGINT)
stop.clear()
stop.wait(10)
"""
    ours, theirs = pty.openpty()
    done = subprocess.run([sys.executable, "-c", script], stderr=theirs, check=False, timeout=30)
    os.close(theirs)
    assert done.returncode == INTERRUPTED_TWICE
    assert os.read(ours, 100) == b"\x1b[?25h"
    os.close(ours)
