"""Peak memory and processor time of a process and its children while something runs."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import psutil

LOOK_SECONDS = 0.1


class Peak:
    """The most that a process and all below it had at a look, in megabytes of proportional set size.

    `processor` are the seconds of all of them, as far as the last look before the end saw them.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.megabytes = 0.0
        self._used: dict[int, float] = {}
        self._root = psutil.Process(process.pid)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._now()

    @property
    def processor(self) -> float:
        """Seconds, user and system."""
        return sum(self._used.values())

    def _watch(self) -> None:
        while not self._end.wait(LOOK_SECONDS):
            self.megabytes = max(self.megabytes, self._now())

    def _now(self) -> float:
        total = 0.0
        with suppress(psutil.Error):
            for process in [self._root, *self._root.children(recursive=True)]:
                with suppress(psutil.Error):
                    self._used[process.pid] = sum(process.cpu_times()[:2])
                    total += process.memory_full_info().pss / 1e6
        return total


class Ran(NamedTuple):
    """Seconds on the wall, and peak megabytes."""

    seconds: float
    megabytes: float


def timed_command(*arguments: str, environment: Mapping[str, str] | None = None, good: Sequence[int] = (0,)) -> Ran:
    """One `sesacctl` command from its start to its end, which has to be one of the `good` exit codes."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "sesacctl", *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    with Peak(process) as peak:
        _, said = process.communicate()
    assert process.returncode in good, said.decode()
    return Ran(time.monotonic() - began, peak.megabytes)
