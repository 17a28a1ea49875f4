"""The whole loop once, on servers that are there: schema, rows, cache, orders, consumers, audit."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sesacctl.broker import topics
from sesacctl.database import init_db
from sesacctl.errors import CheckFailed
from sesacctl.events import ORDERS, PARTITIONS
from sesacctl.pipeline.audit.partitions import read_partitions
from sesacctl.pipeline.audit.report import AuditResult, audit
from sesacctl.pipeline.audit.until_empty import UntilEmpty
from sesacctl.pipeline.produce.producer import ProducePlan, Producer, ProduceReport
from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.pipeline.sink.counts import Counts
from sesacctl.pipeline.supervise.member import ConsumeReport
from sesacctl.pipeline.supervise.supervisor import Supervisor
from sesacctl.settings import Settings

logger = logging.getLogger(__name__)

OnStep = Callable[[str], None]
INSTANCES = 9
REFRESH_SECONDS = 5.0
RATE = 3_000.0
JOIN_SECONDS = 60.0
DRAIN_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One line of the summary: how many of what, in how many seconds; the rate is per second."""

    stage: str
    count: int
    unit: str
    seconds: float

    @property
    def rate(self) -> float:
        """Count per second."""
        return self.count / self.seconds if self.seconds else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceShare:
    """What one consumer owned and stored."""

    instance: int
    partitions: list[str]
    stored: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoResult:
    """The figures of one run; `ok` when every order that was produced is stored once."""

    ok: bool
    orders_produced: int
    orders_stored: int
    missing: int
    duplicated: int
    latency_p50_ms: float | None
    latency_p99_ms: float | None
    stages: list[Stage]
    instances: list[InstanceShare]


class _Background:
    """A loop in a thread; its error is raised where it is waited for."""

    def __init__(self, name: str, run: Callable[[threading.Event], object]) -> None:
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self._run = run
        self._thread = threading.Thread(target=self._guard, name=name, daemon=True)
        self._thread.start()

    def _guard(self) -> None:
        try:
            self._run(self.stop)
        except BaseException as error:  # handed to the thread that waits
            self.error = error

    def finish(self) -> None:
        self.stop.set()
        self._thread.join()
        if self.error:
            raise self.error

    def check(self) -> None:
        if self.error:
            raise self.error


def demo(settings: Settings, *, orders: int, stop: threading.Event, on_step: OnStep = logger.info) -> DemoResult:
    """Run the loop and count what arrived. What was in Kafka before is stored first, and not counted.

    Raises:
        SesacctlError: a step failed; the error is that step's.
    """
    stages: list[Stage] = []
    with _timed(stages, "schema and sample data", "rows") as add:
        on_step("making the schema, and sample rows where there are none")
        seeded = init_db.initialize(settings, with_seed=True).seeded
        topics.init(settings)
        add(seeded.users + seeded.products if seeded else 0)
        on_step(
            f"{seeded.users:,} users and {seeded.products:,} products added" if seeded else "there are rows already"
        )
    with Refresher(settings) as refresher:
        rounds: list[int] = []
        on_step("filling the cache")
        with _timed(stages, "cache refresh", "rows") as add:
            add(sum(table.fresh + table.aged for table in refresher.run_once(period=REFRESH_SECONDS).tables))
        refresh = _Background(
            "refresh", lambda end: refresher.run(end, REFRESH_SECONDS, on_round=lambda _: rounds.append(1))
        )
        try:
            produced, report, before = _produce_and_consume(
                settings, orders=orders, stop=stop, stages=stages, on_step=on_step, refresh=refresh
            )
        finally:
            refresh.finish()
        refresher.run_once()  # the last one: `health` must not expect another round
    on_step("auditing")
    with _timed(stages, "audit", "offsets") as add:
        result = audit(settings)
        add(result.taken)
    return _summary(produced, report, result, before, stages)


def _produce_and_consume(
    settings: Settings,
    *,
    orders: int,
    stop: threading.Event,
    stages: list[Stage],
    on_step: OnStep,
    refresh: _Background,
) -> tuple[ProduceReport, ConsumeReport, int]:
    supervisor = Supervisor(settings, instances=INSTANCES)
    consumers = _Background("consumers", supervisor.run)
    try:
        on_step(f"starting {INSTANCES} consumers")
        with _timed(stages, "consumers assigned", "partitions") as add:
            add(_wait_for_assignment(supervisor, consumers, stop))
            _wait(
                stop,
                consumers,
                UntilEmpty(settings),
                DRAIN_SECONDS,
                "records that were in Kafka before were not stored in time",
            )
        before = _stored_orders(settings)
        on_step(f"producing {orders:,} orders from the cache")
        with _timed(stages, "orders and newcomers produced", "events") as add:
            produced = Producer(settings, ProducePlan(rate=RATE, count=orders, random_seed=1)).run(stop)
            add(produced.acknowledged)
        refresh.check()
        on_step("draining")
        with _timed(stages, "drained", "events") as add:
            _wait(stop, consumers, UntilEmpty(settings), DRAIN_SECONDS, "the consumers did not catch up in time")
    finally:
        consumers.finish()
    report = supervisor.report()
    stages[-1] = Stage(stage="stored while producing and draining", count=report.totals.stored, unit="events",
                       seconds=round(stages[-1].seconds + stages[-2].seconds, 2))  # fmt: skip
    return produced, report, before


def _wait_for_assignment(supervisor: Supervisor, consumers: _Background, stop: threading.Event) -> int:
    most = sum(PARTITIONS.values())

    def assigned() -> int:
        return sum(len(line.partitions) for line in supervisor.report().instances)

    _wait(
        stop, consumers, lambda: assigned() >= most, JOIN_SECONDS, "the consumers did not share the partitions in time"
    )
    return assigned()


def _wait(
    stop: threading.Event, consumers: _Background, condition: Callable[[], bool], seconds: float, complaint: str
) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        consumers.check()
        if stop.is_set():
            raise CheckFailed("interrupted", hint="sesacctl demo")
        if time.monotonic() > deadline:
            raise CheckFailed(complaint, hint="sesacctl lag")
        stop.wait(0.1)


def _stored_orders(settings: Settings) -> int:
    return sum(part.counts.stored for part in read_partitions(settings) if part.kind == ORDERS)


@contextmanager
def _timed(stages: list[Stage], stage: str, unit: str) -> Iterator[Callable[[int], None]]:
    counts: list[int] = []
    started = time.monotonic()
    yield counts.append
    stages.append(Stage(stage=stage, count=sum(counts), unit=unit, seconds=round(time.monotonic() - started, 2)))


def _summary(
    produced: ProduceReport, report: ConsumeReport, result: AuditResult, before: int, stages: list[Stage]
) -> DemoResult:
    totals = Counts()
    for part in result.partitions:
        if part.kind == ORDERS:
            totals.add(part.counts)
    stored = totals.stored - before
    missing = result.missing + max(0, produced.orders - produced.failed - stored)
    return DemoResult(
        ok=result.ok and missing == 0 and stored == produced.orders,
        orders_produced=produced.orders,
        orders_stored=stored,
        missing=missing,
        duplicated=result.duplicated,
        latency_p50_ms=report.latency_p50_ms,
        latency_p99_ms=report.latency_p99_ms,
        stages=stages,
        instances=[
            InstanceShare(instance=line.instance, partitions=sorted(line.partitions), stored=line.counts.stored)
            for line in report.instances
        ],
    )
