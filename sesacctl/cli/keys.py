"""Single keys, without Enter, while a live screen is on the terminal."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from sesacctl.cli.signals import before_exit

_TICK_SECONDS = 0.1
# What a Korean keyboard sends for them.
_KOREAN = {"ㅂ": "q", "ㅔ": "p"}
# Arrows and the like.
_SEQUENCE = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|O.)?")


class Keys:
    """Standard input as keys; there are none unless it is a terminal, and this program is in its foreground."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._before: list[Any] | None = None

    @property
    def active(self) -> bool:
        """Whether keys are read."""
        return self._before is not None

    def take(self) -> None:
        """Have keys come one by one, and not shown."""
        if self._before is None and _is_ours():
            with suppress(termios.error):
                self._before = termios.tcgetattr(sys.stdin)
                tty.setcbreak(sys.stdin, termios.TCSANOW)

    def give_back(self) -> None:
        """Leave the terminal as it was."""
        before, self._before = self._before, None
        if before is not None:
            with suppress(termios.error):  # it has gone
                termios.tcsetattr(sys.stdin, termios.TCSANOW, before)

    def next(self, seconds: float, stop: threading.Event) -> str | None:
        """The next key; None after `seconds`, when `stop` is set, or for an arrow and the like."""
        if self._waiting:
            return self._waiting.pop(0)
        for _ in range(max(1, round(seconds / _TICK_SECONDS))):
            if not self.active:
                stop.wait(_TICK_SECONDS)
            elif select.select([sys.stdin], [], [], _TICK_SECONDS)[0]:
                self._waiting += self._read()
                return self._waiting.pop(0) if self._waiting else None
            if stop.is_set():
                break
        return None

    def _read(self) -> list[str]:
        try:
            text = os.read(sys.stdin.fileno(), 64).decode("utf-8", "ignore")
        except OSError:
            text = ""
        if not text:  # the terminal is closed
            self.give_back()
        return [_KOREAN.get(key, key) for key in _SEQUENCE.sub("", text)]


def _is_ours() -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    try:
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()  # in the background, a change would stop us
    except OSError:
        return False


@contextmanager
def keys() -> Iterator[Keys]:
    """For the time of the block, also if a second Ctrl-C ends the process at once."""
    found = Keys()
    found.take()
    before_exit.append(found.give_back)
    try:
        yield found
    finally:
        before_exit.remove(found.give_back)
        found.give_back()
