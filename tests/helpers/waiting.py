"""Waiting for a condition instead of sleeping."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
BUSY_SECONDS = 10.0  # what a busy machine may add to a time that is promised


def wait_until(condition: Callable[[], T], timeout: float = 60.0, message: str = "") -> T:
    """The first true value of `condition`, looked at 20 times a second; an AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    pause = threading.Event()
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {message or condition}"
        pause.wait(0.05)
    return value
