"""The supervisor's view of its instances, and what it reports of them."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from sesacctl.pipeline.batch import Counts
from sesacctl.pipeline.status import Status

HEALTHY_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceReport:
    """One line of the live table; rate in events per second since the report before, lag as of the last fetch."""

    instance: int
    pid: int | None
    state: str
    partitions: list[str]
    counts: Counts
    rate: float
    lag: int
    restarts: int
    max_rss_bytes: int
    error: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumeReport:
    """Figures so far; rate in events per second since the report before, latency from record to COMMIT."""

    instances: list[InstanceReport]
    totals: Counts
    events: int
    seconds: float
    rate: float
    restarts: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None


@dataclass(slots=True)
class Member:
    """One instance as the supervisor sees it; counts since the supervisor began, times by the monotonic clock."""

    number: int
    process: Any = None
    pipe: Connection | None = None
    status: Status = field(default_factory=lambda: Status(0))
    counts: Counts = field(default_factory=Counts)
    starts: int = 0
    reported: int = 0
    failures: int = 0
    started: float = 0.0
    heard: float = 0.0
    start_at: float = 0.0

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return max(0, self.starts - 1)

    def hear(self, status: Status) -> None:
        """Take a report in. One that has stored something is well, however often it died before."""
        self.heard, self.status = time.monotonic(), status
        self.counts.add(status.counts)
        if status.counts.offsets:
            self.failures = 0

    def tell(self, message: object) -> None:
        """Send something to the process; one that has ended need not hear it."""
        if self.pipe is not None:
            with suppress(OSError):
                self.pipe.send(message)

    def died(self) -> None:
        """Count its death, and set when to start it again.

        At once the first time: its partitions stand still until it is back. Being alive for long is as good as
        progress, as there may be nothing to store.
        """
        now = time.monotonic()
        self.failures = 1 if now - self.started > HEALTHY_SECONDS else self.failures + 1
        self.start_at = now + (0 if self.failures == 1 else min(10.0, 0.25 * 2**self.failures))

    def line(self, seconds: float) -> InstanceReport:
        """What to show of it, `seconds` after the last time."""
        done, self.reported = self.counts.offsets - self.reported, self.counts.offsets
        process = self.process
        alive = process is not None and process.is_alive()
        return InstanceReport(
            instance=self.number,
            pid=process.pid if alive else None,
            state=self.status.state if alive else "stopped",
            partitions=self.status.partitions,
            counts=self.counts,
            rate=round(done / seconds, 1) if seconds else 0.0,
            lag=self.status.lag,
            restarts=self.restarts,
            max_rss_bytes=self.status.max_rss_bytes,
            error=self.status.error,
        )
