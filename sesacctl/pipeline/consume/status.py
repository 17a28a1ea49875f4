"""What an instance tells its supervisor."""

from __future__ import annotations

import logging
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from sesacctl.pipeline.consume.activity import Activity
from sesacctl.pipeline.latency import Latency
from sesacctl.pipeline.sink.counts import Counts

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Status:
    """State of one instance; counts, latency and activity are since the report before, lag is by the last fetch.

    `joined`: the group has given it its partitions, be it none, and they are read from PostgreSQL's offsets on.
    """

    instance: int
    pid: int = 0
    state: str = "starting"
    waiting_for: str | None = None
    joined: bool = False
    partitions: list[str] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    lag: int = 0
    latency: Latency = field(default_factory=Latency)
    activity: Activity = field(default_factory=Activity)
    max_rss_bytes: int = 0
    error: str | None = None

    def wait_for(self, server: str, why: str) -> None:
        """Say what is waited for; the log has it once."""
        if self.waiting_for != server:
            logger.warning("waiting for %s: %s", server, why, extra={"action": "consume.waiting"})
        self.state, self.waiting_for, self.error = "waiting", server, why

    def resume(self, report: Callable[[], None]) -> None:
        """Nothing is waited for any more; `report` is called before the log says so, which is on the same screen."""
        waited_for = self.waiting_for
        self.state, self.waiting_for, self.error = "running", None, None
        if waited_for:
            report()
            logger.info("%s is back", waited_for, extra={"action": "consume.resumed"})

    def followed_by(self, newer: Status) -> Status:
        """One status in place of two: the newer one, with the counts and latencies of both."""
        both = replace(
            newer, counts=replace(newer.counts), latency=newer.latency.copy(), activity=newer.activity.copy()
        )
        both.counts.add(self.counts)
        both.latency.add(self.latency)
        both.activity.add(self.activity)
        return both


def max_rss_bytes() -> int:
    """The most memory that this process has had resident; Linux counts in KiB, macOS in bytes (getrusage(2))."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


class Timer:
    """True once an interval, the first time at once."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = float("-inf")

    def due(self) -> bool:
        """Whether the interval has passed; if so, the next one begins."""
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True
