"""Waiting for a condition instead of sleeping."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")
BUSY_SECONDS = 30.0  # what a busy machine may add before a test gives up waiting
_BARE_STARTS = 60  # what is done beside waiting, in starts of a bare Python: a command with all its imports is 20


def wait_until(condition: Callable[[], T], timeout: float = 60.0, message: str = "") -> T:
    """The first true value of `condition`, looked at 20 times a second; an AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {message or condition}"
        pause.wait(0.05)
    return value


@contextmanager
def within(seconds: float, what: str = "it") -> Iterator[None]:
    """An AssertionError if the body takes longer than what is promised and what this machine needs beside it."""
    began = time.monotonic()
    yield
    assert_within(seconds, time.monotonic() - began, what)


def assert_within(seconds: float, took: float, what: str = "it") -> None:
    """As `within`, of a time that was taken elsewhere: what is too long is compared with a bare Python's start, now."""
    if took > seconds:
        allowed = seconds + busy_seconds()
        assert took < allowed, f"{what} took {took:.1f} s; {seconds:g} s are promised, and {allowed:.1f} s allowed here"


def busy_seconds() -> float:
    """What this machine needs now, beside any waiting, for a command with all its imports, and more."""
    return _BARE_STARTS * max(_bare_start() for _ in range(5))


def _bare_start() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-I", "-c", "pass"], check=True)
    return time.monotonic() - began
