"""Orders from the cache, and some new users and products, at a steady pace into Kafka."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from threading import Event

from sesacctl import events
from sesacctl.broker.kafka_python.producer_batches import Delivery
from sesacctl.broker.sender import DELIVERY_SECONDS, Sender, row_id
from sesacctl.cache.client import CacheReader, connect
from sesacctl.errors import CacheEmpty, EventTooLarge, LedgerNotWritten, SesacctlError
from sesacctl.events import Kind, OrderEvent
from sesacctl.heartbeat import Heartbeat
from sesacctl.pipeline.latency import Histogram, Latency
from sesacctl.pipeline.produce.ledger import Ledger
from sesacctl.pipeline.produce.newcomers import Newcomers
from sesacctl.pipeline.produce.orders import OrderMaker
from sesacctl.pipeline.produce.token_bucket import Bucket
from sesacctl.settings import Settings

logger = logging.getLogger(__name__)

_AT_ONCE = 500
_ROOM = 1024 * 1024  # more than `_AT_ONCE` orders take, or `publish` would block without seeing signals
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.01, 0.2
_CACHE_RETRY_SECONDS = 1.0
_SILENCE_SECONDS = 5.0
STOP_SECONDS = 10.0
BEAT_SECONDS = 20.0  # `health --live`: more than one look at a Redis that does not answer takes
_CACHE, _KAFKA = "the cache", "Kafka"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProducePlan:
    """What to produce: orders per second (0: flat out), and when to stop (None: never); `lines` orders a cart."""

    rate: float = 0.0
    count: int | None = None
    seconds: float | None = None
    new_users_per_second: float = 2.0
    new_products_per_second: float = 1.0
    lines: tuple[int, int] = (1, 1)
    random_seed: int | None = None
    ledger: Path | None = None
    delivery_seconds: float = DELIVERY_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class ProduceReport:
    """Figures so far: `sent = acknowledged + failed + in_flight` counts events of all kinds.

    `rate` is orders per second over all `seconds`, up to the last acknowledgement, `rate_now` that since the report
    before; `refused` events were too large to be sent. Latencies are from send to acknowledgement, in milliseconds.
    On average, `linger_ms` of that is the wait for the batch to leave, and `broker_ms` the rest.
    """

    orders: int
    new_users: int
    new_products: int
    sent: int
    acknowledged: int
    failed: int
    in_flight: int
    refused: int
    seconds: float
    rate: float
    rate_now: float
    ack_p50_ms: float | None
    ack_p99_ms: float | None
    linger_ms: float | None
    broker_ms: float | None
    waiting_for: str | None
    first_failure: str | None


OnReport = Callable[[ProduceReport], None]


class Producer:
    """Runs a plan once. When `run` has returned or raised, `report()` accounts for every event that was sent."""

    def __init__(self, settings: Settings, plan: ProducePlan) -> None:
        """Connect to Redis and Kafka, and look whether there is anything to make orders from.

        Raises:
            CacheEmpty: there are no users or no products in the cache.
            UsageError: the ledger cannot be written.
            ServerUnreachable: a server cannot be reached.
            ServerRefused: a server refused: wrong credentials or a missing right.
            TopicMissing: one of the topics does not exist.
            ConfigurationError: a setting of the connection is missing or wrong.
        """
        self._plan = plan
        self._home = settings.sesac_home
        self._reader = CacheReader(connect(settings))
        self._maker = OrderMaker(random=Random(plan.random_seed), lines=plan.lines)
        self._maker.use(self._reader.users(), self._reader.products())
        self._newcomers = Newcomers(
            users_per_second=plan.new_users_per_second,
            products_per_second=plan.new_products_per_second,
            random_seed=plan.random_seed,
        )
        self._ledger = Ledger(plan.ledger) if plan.ledger else None
        self._ledger_error: LedgerNotWritten | None = None
        try:
            self._sender = Sender(settings, delivery_seconds=plan.delivery_seconds, on_delivery=self._on_delivery)
        except BaseException:
            self._close_ledger()
            raise
        self._bucket = Bucket(plan.rate)
        self._latency = Latency()
        self._lingered_ms = 0.0
        self._orders = self._new_users = self._new_products = self._refused = 0
        self._waiting_for: str | None = None
        self._begin = time.monotonic()
        self._reported = (self._begin, 0)

    def run(self, stop: Event, *, on_report: OnReport = lambda _: None, interval: float = 5.0) -> ProduceReport:
        """Produce until the plan is done or `stop` is set, then wait for the acknowledgements.

        After `stop` they get `STOP_SECONDS`; otherwise each event has its `delivery_seconds`, and what Kafka says
        nothing about `STOP_SECONDS` after that counts as failed. `on_report` is called every `interval` seconds.

        Raises:
            LedgerNotWritten: what could not be recorded was not sent.
            ServerRefused: a server refused: Kafka takes no more events, or Redis no more reads.
            TopicMissing: a topic was deleted meanwhile.
        """
        with Heartbeat(self._home, "produce") as heartbeat:
            self._heartbeat = heartbeat
            return self._run(stop, on_report, interval)

    def _run(self, stop: Event, on_report: OnReport, interval: float) -> ProduceReport:
        self._begin = time.monotonic()
        self._reported = (self._begin, 0)
        try:
            try:
                while not stop.is_set() and (pause := self.run_once()) is not None:
                    stop.wait(pause)
                    self._chores(on_report, interval)
            finally:
                self._drain(stop, on_report, interval)
        finally:
            self._waiting_for = None
            self.close()
        if self._ledger_error:
            raise self._ledger_error
        return self.report()

    def close(self) -> None:
        """Let go of Kafka and the ledger; `run` has done it when it ends. Raises LedgerNotWritten."""
        self._sender.close()
        self._close_ledger()

    def run_once(self) -> float | None:
        """Send what is due; returns the seconds until more is, or None when the plan is done. Raises as `run`."""
        plan, elapsed = self._plan, time.monotonic() - self._begin
        over = plan.seconds is not None and elapsed >= plan.seconds
        if plan.seconds is not None and over:
            elapsed = plan.seconds
        if self._ledger_error:
            return None
        if not self._has_rows():
            return None if over else _CACHE_RETRY_SECONDS
        if self._sender.room < _ROOM:
            self._sender.wait(_LONGEST_PAUSE)
            return None if over else 0.0
        users = self._send(events.USERS, self._newcomers.users(elapsed, _AT_ONCE))
        self._new_users += users
        products = self._send(events.PRODUCTS, self._newcomers.products(elapsed, _AT_ONCE))
        self._new_products += products
        due = self._bucket.due(elapsed) if plan.rate else (0 if over else _AT_ONCE)
        made = self._send(events.ORDERS, self._make(min(due, _AT_ONCE)))
        self._orders += made
        self._bucket.spend(made)
        behind = due > _AT_ONCE or _AT_ONCE in (users, products)
        if self._orders == plan.count or (over and not behind):
            return None
        if plan.rate == 0 or behind:
            return 0.0
        return min(max(self._bucket.seconds_to_next(elapsed), _SHORTEST_PAUSE), _LONGEST_PAUSE)

    def report(self) -> ProduceReport:
        """The figures up to now."""
        sender, now = self._sender, time.monotonic()
        seconds = now - self._begin
        reported, orders = self._reported
        linger_ms, broker_ms = self._means()
        return ProduceReport(
            orders=self._orders,
            new_users=self._new_users,
            new_products=self._new_products,
            sent=sender.sent,
            acknowledged=sender.acknowledged,
            failed=sender.failed,
            in_flight=sender.in_flight,
            refused=self._refused,
            seconds=round(seconds, 3),
            rate=round(self._orders / max(seconds, 1e-3), 2),
            rate_now=round((self._orders - orders) / max(now - reported, 1e-3), 1),
            ack_p50_ms=self._latency.percentile(50),
            ack_p99_ms=self._latency.percentile(99),
            linger_ms=linger_ms,
            broker_ms=broker_ms,
            waiting_for=self._waiting_for,
            first_failure=sender.first_failure,
        )

    def _means(self) -> tuple[float, float] | tuple[None, None]:
        """Of the time to the acknowledgement, in milliseconds: until its batch left, and after."""
        seconds = self._latency.histogram.mean
        if seconds is None:
            return None, None
        linger_ms = self._lingered_ms / self._sender.acknowledged
        return round(linger_ms, 1), round(max(0.0, 1000 * seconds - linger_ms), 1)

    def acknowledgements(self) -> Histogram:
        """From sending to the acknowledgement, of every event so far; to be asked in `on_report`."""
        return self._latency.histogram.copy()

    def problem(self) -> str | None:
        """Why it sends nothing; None if nothing keeps it from that. Any thread may ask."""
        return f"waiting for {self._waiting_for}" if self._waiting_for else None

    def _has_rows(self) -> bool:
        """Take the cache's newest generation; False while it has none."""
        try:
            self._maker.use(self._reader.users(), self._reader.products())
        except SesacctlError as error:
            if not (isinstance(error, CacheEmpty) or error.retriable):
                raise
            self._wait_for(_CACHE, str(error))
            return False
        self._no_longer_wait_for(_CACHE)
        return True

    def _wait_for(self, what: str, why: str) -> None:
        if self._waiting_for is None:
            logger.warning("waiting for %s: %s", what, why, extra={"action": "produce.waiting"})
            self._waiting_for = what

    def _no_longer_wait_for(self, what: str) -> None:
        if self._waiting_for == what:
            logger.info("%s is back", what, extra={"action": "produce.resumed"})
            self._waiting_for = None

    def _close_ledger(self) -> None:
        ledger, self._ledger = self._ledger, None
        if ledger:
            ledger.close()

    def _make(self, due: int) -> list[OrderEvent]:
        """Whole carts of `due` orders at least, and never more in all than the plan has."""
        left = None if self._plan.count is None else self._plan.count - self._orders
        made: list[OrderEvent] = []
        while len(made) < due and (left is None or len(made) < left):
            cart = self._maker.cart(None if left is None else left - len(made))
            at = cart[0].created_at
            assert at is not None
            made += [OrderEvent(timestamp=at, order=order) for order in cart]
        return made

    def _send(self, kind: Kind, batch: Sequence[events.Event]) -> int:
        """Record and send events of one kind; how many there were."""
        if self._ledger and batch:
            self._ledger.intend(kind, map(row_id, batch))
        for event in batch:
            try:
                self._sender.publish(event)
            except EventTooLarge as error:
                if not self._refused:
                    logger.warning("not sent: %s", error, extra={"action": "produce.refused"})
                self._refused += 1
        return len(batch)

    def _on_delivery(self, delivery: Delivery) -> None:
        if delivery.error is not None:
            return
        self._latency.observe(delivery.done_ms, delivery.sent_ms)
        self._lingered_ms += delivery.lingered_ms
        if self._ledger:
            try:
                self._ledger.acknowledge(delivery.kind, delivery.ids)
            except LedgerNotWritten as error:  # `run_once` sends no more, and what is in flight is still counted
                self._ledger_error = error

    def _chores(self, on_report: OnReport, interval: float) -> None:
        self._heartbeat.beat(BEAT_SECONDS)
        self._sender.collect()
        silence = self._sender.silence
        if silence > _SILENCE_SECONDS:
            self._wait_for(_KAFKA, f"it has acknowledged nothing for {silence:.0f} s")
        else:
            self._no_longer_wait_for(_KAFKA)
        if time.monotonic() - self._reported[0] >= interval:
            on_report(self.report())
            self._reported = (time.monotonic(), self._orders)

    def _drain(self, stop: Event, on_report: OnReport, interval: float) -> None:
        # Events expire in Kafka's client only while it is connected: without a deadline, this might never end.
        deadline, stopped = time.monotonic() + self._plan.delivery_seconds + STOP_SECONDS, False
        while self._sender.in_flight and time.monotonic() < deadline:
            if stop.is_set() and not stopped:
                stopped, deadline = True, min(deadline, time.monotonic() + STOP_SECONDS)
            self._sender.wait(_LONGEST_PAUSE)
            self._chores(on_report, interval)
