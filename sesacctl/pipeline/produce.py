"""The producer: orders from the cache, and some new users and products, at a steady pace into Kafka."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random
from threading import Event

from sesacctl.broker import topics
from sesacctl.broker.sender import Sender
from sesacctl.cache.client import CacheReader, connect
from sesacctl.database import samples
from sesacctl.errors import CacheEmpty, SesacctlError
from sesacctl.events import OrderEvent, Product, ProductEvent, User, UserEvent
from sesacctl.pipeline.orders import OrderMaker
from sesacctl.settings import Settings

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.01
_AT_ONCE = 500
_CACHE_RETRY_SECONDS = 1.0
FLUSH_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProduceReport:
    """Figures so far; rates in orders per second, latencies from send to acknowledgement in milliseconds."""

    orders: int
    new_users: int
    new_products: int
    sent: int
    acknowledged: int
    failed: int
    in_flight: int
    seconds: float
    rate: float
    ack_p50_ms: float | None
    ack_p99_ms: float | None
    first_failure: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to produce: orders per second (0: flat out), and when to stop (None: never)."""

    rate: float = 0.0
    count: int | None = None
    seconds: float | None = None
    new_users_per_second: float = 2.0
    new_products_per_second: float = 1.0
    lines: tuple[int, int] = (1, 1)
    random_seed: int | None = None


class Producer:
    """Runs a plan once; every event that was sent is acknowledged or counted as failed when `run` returns."""

    def __init__(self, settings: Settings, plan: Plan) -> None:
        """Connect to Redis and Kafka, and look whether there is anything to make orders from.

        Raises:
            CacheEmpty: there are no users or no products in the cache.
            ServerUnreachable, ServerRefused, TopicMissing, ConfigurationError
        """
        self._plan = plan
        self._random = Random(plan.random_seed)
        self._reader = CacheReader(connect(settings))
        self._maker = OrderMaker(random=self._random, lines=plan.lines)
        self._maker.use(self._reader.users(), self._reader.products())
        topics.require(settings)
        self._sender = Sender(settings)
        self._orders = self._new_users = self._new_products = 0
        self._waiting = False

    def run(
        self, stop: Event, *, on_report: Callable[[ProduceReport], None] = lambda report: None, interval: float = 5.0
    ) -> ProduceReport:
        """Produce until the plan is done or `stop` is set, then flush; `on_report` is called every `interval` seconds.

        Raises:
            ServerUnreachable: Kafka takes no more events; what was sent is still accounted for in the log.
        """
        started = reported = time.monotonic()
        try:
            while not stop.is_set():
                elapsed = time.monotonic() - started
                due = self._due(elapsed)
                if due < 0:
                    break
                if due == 0 or not self._produce(due, elapsed):
                    stop.wait(_TICK_SECONDS if due == 0 else _CACHE_RETRY_SECONDS)
                self._sender.collect()
                if time.monotonic() - reported >= interval:
                    reported = time.monotonic()
                    on_report(self._report(reported - started))
            self._sender.flush(FLUSH_SECONDS)
            finished = time.monotonic() - started
        finally:
            self._sender.close()
        return self._report(finished)

    def _due(self, elapsed: float) -> int:
        """How many orders may be made now; -1 when the plan is done. A bucket of one second bounds the catching up."""
        plan = self._plan
        if plan.seconds is not None and elapsed >= plan.seconds:
            return -1
        left = _AT_ONCE if plan.count is None else plan.count - self._orders
        if left <= 0:
            return -1
        if plan.rate > 0:
            behind = int(elapsed * plan.rate) - self._orders
            left = min(left, behind)
        return max(0, min(left, _AT_ONCE))

    def _produce(self, most: int, elapsed: float) -> bool:
        """Send up to `most` orders and the newcomers that are due; False while the cache gives nothing."""
        try:
            self._maker.use(self._reader.users(), self._reader.products())
        except SesacctlError as error:
            if not (isinstance(error, CacheEmpty) or error.retriable):
                raise
            if not self._waiting:
                log.warning("waiting for the cache: %s", error, extra={"action": "produce.waiting"})
            self._waiting = True
            return False
        if self._waiting:
            log.info("the cache is back", extra={"action": "produce.resumed"})
            self._waiting = False
        self._newcomers(elapsed)
        while most > 0:
            cart = self._maker.cart()[:most]
            for order in cart:
                assert order.created_at is not None
                self._sender.publish(OrderEvent(timestamp=order.created_at, order=order))
            self._orders += len(cart)
            most -= len(cart)
        return True

    def _newcomers(self, elapsed: float) -> None:
        now = datetime.now(UTC)
        plan = self._plan
        while plan.new_users_per_second and self._new_users <= elapsed * plan.new_users_per_second:
            self._sender.publish(UserEvent(timestamp=now, user=User(**samples.make_user(self._random), created_at=now)))
            self._new_users += 1
        while plan.new_products_per_second and self._new_products <= elapsed * plan.new_products_per_second:
            product = Product(**samples.make_product(self._random), created_at=now)
            self._sender.publish(ProductEvent(timestamp=now, product=product))
            self._new_products += 1

    def _report(self, seconds: float) -> ProduceReport:
        sender = self._sender
        latencies = sorted(sender.latencies_ms)
        return ProduceReport(
            orders=self._orders,
            new_users=self._new_users,
            new_products=self._new_products,
            sent=sender.sent,
            acknowledged=sender.acknowledged,
            failed=sender.failed,
            in_flight=sender.in_flight,
            seconds=round(seconds, 3),
            rate=round(self._orders / seconds, 1) if seconds else 0.0,
            ack_p50_ms=_percentile(latencies, 50),
            ack_p99_ms=_percentile(latencies, 99),
            first_failure=sender.first_failure,
        )


def _percentile(ordered: list[float], percent: int) -> float | None:
    return round(ordered[min(len(ordered) - 1, len(ordered) * percent // 100)], 1) if ordered else None
