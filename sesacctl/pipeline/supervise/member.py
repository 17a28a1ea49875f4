"""The supervisor's view of its instances, and what it reports of them."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from sesacctl.pipeline.consume.activity import Activity
from sesacctl.pipeline.consume.status import Status
from sesacctl.pipeline.latency import Histogram, Latency
from sesacctl.pipeline.sink.counts import Counts
from sesacctl.pipeline.sink.measures import Part
from sesacctl.pipeline.supervise.messages import Crash

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

HEALTHY_SECONDS = 60.0
EXIT_SECONDS = 1.0  # from the end of the pipe to that of the process
SILENT_SECONDS = 10.0  # an instance sends something every second, or it is not ready
TAKEN_SECONDS = 5.0  # longer than the other members of a taken identity need to notice it


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceReport:
    """One line of the live table; rate in events per second since the last interval began, lag as of the last fetch.

    `member` is its `group.instance.id`. `error`: what it waits for or what ended it last, until it has stored something
    since.
    """

    instance: int
    member: str
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
    """Figures so far; rate in events per second since the last interval began, latency from record to COMMIT.

    `since_read_ms` is what of it passed since the poll that returned the record, `step_ms` what each part of a step
    took; both on average.
    """

    instances: list[InstanceReport]
    totals: Counts
    events: int
    seconds: float
    rate: float
    restarts: int
    latency_p50_ms: float | None
    latency_p95_ms: float | None
    latency_p99_ms: float | None
    since_read_ms: float | None
    step_ms: Mapping[Part, float]


@dataclass(slots=True)
class Member:
    """One instance as the supervisor sees it; counts since the supervisor began, times by the monotonic clock.

    It lives as long as its end of the pipe does. Its exit code comes from the fork server, which may die before it.
    """

    number: int
    id: str = ""
    process: BaseProcess | None = None
    pipe: Connection | None = None
    running: bool = False
    status: Status = field(default_factory=lambda: Status(0))
    counts: Counts = field(default_factory=Counts)
    starts: int = 0
    reported: int = 0
    failures: int = 0
    crash: Crash | None = None
    crashes: int = 0
    taken: bool = False
    error: str | None = None
    last_words: str | None = None  # of this process; `error` outlives it
    started: float = 0.0
    heard: float = 0.0
    start_at: float = 0.0

    @property
    def restarts(self) -> int:
        """How often it was started again."""
        return max(0, self.starts - 1)

    @property
    def pid(self) -> int | None:
        """Its process; None when it has none, or when the fork server died before it could say."""
        if self.pipe is None:
            return None
        return (self.process.pid if self.process is not None else self.status.pid) or None

    def record_start(self, process: BaseProcess | None, pipe: Connection) -> None:
        """It has been started, or at least may have been: `process` is None if the fork server died meanwhile."""
        self.process, self.pipe, self.running, self.taken = process, pipe, True, False
        self.last_words = None
        self.starts += 1
        self.started = self.heard = time.monotonic()
        self.status = Status(self.number)

    def receive(self, status: Status) -> None:
        """Take a report in. One that has stored something is healthy, however often it died before."""
        self.heard, self.status = time.monotonic(), status
        self.counts.add(status.counts)
        if status.counts.offsets:
            self.failures = self.crashes = 0
            self.crash = self.error = None

    def send(self, message: object) -> None:
        """Send something to the process; ignored if it has ended."""
        if self.pipe is not None:
            with suppress(OSError):
                self.pipe.send(message)

    def is_silent(self, seconds: float) -> bool:
        """Whether it has sent nothing for so long and nothing waits to be read: the supervisor itself may have hung."""
        return self.pipe is not None and time.monotonic() - self.heard > seconds and not self.pipe.poll()

    def problem(self) -> str | None:
        """Why it does not consume; None if it has its place in the group, even one without partitions, and its servers.

        Any thread may ask.
        """
        status, silence = self.status, time.monotonic() - self.heard
        if self.pipe is None:
            return self.error or "stopped"
        if status.state != "running":
            return status.error or status.state
        if not status.joined:
            return "no partitions are assigned yet"
        return f"it has said nothing for {silence:.0f} s" if silence > SILENT_SECONDS else None

    def kill(self) -> None:
        """End its process, which is there as long as the pipe is open; one without a known pid ends by itself then."""
        if self.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
        else:
            self.hang_up()

    def hang_up(self) -> None:
        """Close the pipe."""
        if self.pipe is not None:
            self.pipe.close()
            self.pipe = None

    def record_last_words(self, text: str) -> None:
        """Keep why it ends."""
        self.error = self.last_words = text

    def record_crash(self, crash: Crash) -> None:
        """Count how often in a row it has ended with the same fault; one that may pass does not count."""
        lived = time.monotonic() - self.started > HEALTHY_SECONDS
        again = crash.is_same(self.crash) and not lived
        self.crash = crash
        self.record_last_words(str(crash))
        self.crashes = 0 if crash.passes else 1 + (self.crashes if again else 0)

    def record_exit(self) -> int | None:
        """Count its end, and set when to start it again; returns the exit code, None if unknown.

        The first restart is immediate, since its partitions wait until it is back; later ones back off. A long life
        counts as progress, as there may be nothing to store.
        """
        process, self.process, self.running = self.process, None, False
        now = time.monotonic()
        self.failures = 1 if now - self.started > HEALTHY_SECONDS else self.failures + 1
        self.start_at = now + (0 if self.failures == 1 else min(10.0, 0.25 * 2**self.failures))
        if self.taken:
            self.start_at = now + TAKEN_SECONDS
        if process is None:
            return None
        process.join(EXIT_SECONDS)
        code: int | None = process.exitcode
        return code

    def line(self, seconds: float) -> InstanceReport:
        """What to show of it, `seconds` after the interval began."""
        return InstanceReport(
            instance=self.number,
            member=self.id,
            pid=self.pid,
            state=self.status.state if self.pipe is not None else "stopped",
            partitions=self.status.partitions,
            counts=self.counts,
            rate=round((self.counts.offsets - self.reported) / seconds, 1),
            lag=self.status.lag,
            restarts=self.restarts,
            max_rss_bytes=self.status.max_rss_bytes,
            error=self.status.error or self.error,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumeFigures:
    """A report with what it has no room for: all that was done, record to COMMIT, and who waits for which server."""

    report: ConsumeReport
    activity: Activity
    record_to_commit: Histogram
    waiting: Mapping[str, int]


class Figures:
    """What a supervisor reports of its members: asking changes nothing, only `begin_interval` does."""

    def __init__(self, members: Sequence[Member]) -> None:
        self.latency = Latency()
        self.activity = Activity()
        self._members = members
        self._started = self._reported = time.monotonic()
        self._reported_events = 0

    @property
    def window(self) -> float:
        """Seconds since the interval began, over which rates are."""
        return time.monotonic() - self._reported

    def begin(self) -> None:
        """Time counts from here."""
        self._started = self._reported = time.monotonic()

    def receive(self, status: Status) -> None:
        """Add what an instance has done since its last status."""
        self.latency.add(status.latency)
        self.activity.add(status.activity)

    def everything(self) -> ConsumeFigures:
        """All figures now; ask in the supervisor's own thread."""
        waiting = Counter(member.status.waiting_for for member in self._members if member.pipe is not None)
        return ConsumeFigures(
            report=self.report(),
            activity=self.activity.copy(),
            record_to_commit=self.latency.histogram.copy(),
            waiting={server: waiting[server] for server in ("PostgreSQL", "Kafka")},
        )

    def begin_interval(self) -> None:
        """Rates count from here."""
        self._reported = time.monotonic()
        self._reported_events = sum(member.counts.offsets for member in self._members)
        for member in self._members:
            member.reported = member.counts.offsets

    def report(self) -> ConsumeReport:
        """The figures now."""
        totals = Counts()
        for member in self._members:
            totals.add(member.counts)
        window = max(self.window, 1e-3)
        return ConsumeReport(
            instances=[member.line(window) for member in self._members],
            totals=totals,
            events=totals.offsets,
            seconds=round(time.monotonic() - self._started, 3),
            rate=round((totals.offsets - self._reported_events) / window, 1),
            restarts=sum(member.restarts for member in self._members),
            latency_p50_ms=self.latency.percentile(50),
            latency_p95_ms=self.latency.percentile(95),
            latency_p99_ms=self.latency.percentile(99),
            since_read_ms=_mean_ms(self.activity.measures.read_to_commit),
            step_ms={
                part: mean
                for part, histogram in self.activity.measures.seconds.items()
                if (mean := _mean_ms(histogram)) is not None
            },
        )


def _mean_ms(histogram: Histogram) -> float | None:
    mean = histogram.mean
    return None if mean is None else round(1000 * mean, 1)
