"""A few orders through an existing deployment, each hop timed, and taken out again."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from time import monotonic, time
from typing import TYPE_CHECKING

from sesacctl.broker.kafka_python.producer_batches import Delivery
from sesacctl.broker.sender import Sender
from sesacctl.cache.client import connect as connect_redis
from sesacctl.cache.snapshot import is_cached
from sesacctl.database.connections import transaction
from sesacctl.errors import CheckFailed
from sesacctl.events import ORDERS, Event, Order, OrderEvent, User, UserEvent, uuid7
from sesacctl.pipeline.repair.removal import Removed, remove_user
from sesacctl.pipeline.trace.trace import trace_event
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions

PREFIX = "smoke-"
"""What the ids of the users that a smoke test makes begin with."""

_LOOK_SECONDS = 0.05
_MOST_TRACED = 3

OnStep = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class HopTime:
    """How long one hop took, in milliseconds; `count` events took it."""

    hop: str
    count: int
    median_ms: float | None
    longest_ms: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotStored:
    """An order that was not stored in time, and where it is."""

    id: str
    verdict: str
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeReport:
    """What came of a smoke test. `stored`: orders with one row each that has the amounts that were sent.

    `not_stored` has the first three of the others. `removed` is what was taken out again.
    """

    user_id: str
    sent: int
    acknowledged: int
    stored: int
    wrong: list[str]
    hops: list[HopTime]
    not_stored: list[NotStored]
    removed: Removed

    @property
    def ok(self) -> bool:
        """Whether every order came through, once and unchanged."""
        return self.stored == self.sent and not self.wrong


def smoke(
    settings: Settings, *, orders: int, timeout: float, stop: threading.Event, on_step: OnStep = lambda _text: None
) -> SmokeReport:
    """Send a new user and their orders, wait at most `timeout` seconds until they are rows, and remove them.

    The orders are of one product that is there. Whatever happens, the user and the orders are removed: also those that
    come later, as consumers pass over what a removed user sends.

    Raises:
        KeyboardInterrupt: `stop` was set before they were stored.
        CheckFailed: there is no product, or the user was not stored in time.
        TopicMissing: one of the topics does not exist.
        ServerUnreachable: a server cannot be reached.
        ServerRefused: a server refused: wrong credentials or a missing right.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    run = _Run(settings, orders, monotonic() + timeout, stop)
    with closing(connect_redis(settings)) as redis:  # without it, nothing of what is sent could be removed
        is_cached(redis, "users", run.user_id)
    try:
        run.send_user()
        on_step(f"the user {run.user_id} is stored")
        run.send_orders()
        on_step(f"{run.acknowledged} of {orders} orders are acknowledged")
        run.wait_for_rows()
        on_step(f"{sum(each != run.user_id for each in run.stored_ms)} of {orders} orders are stored")
        not_stored = run.trace_others()
    finally:
        removed = run.remove()
    return run.report(not_stored, removed)


class _Run:
    def __init__(self, settings: Settings, orders: int, deadline: float, stop: threading.Event) -> None:
        self._settings, self._deadline, self._stop = settings, deadline, stop
        self.user_id = f"{PREFIX}{uuid7()}"
        dice = random.Random()
        product, now = _product(settings), datetime.now(UTC)
        self._orders = {
            row.order_id: row
            for row in (
                Order(
                    order_id=uuid7(),
                    user_id=self.user_id,
                    product_id=product,
                    quantity=dice.randint(1, 9),
                    total_amount=dice.randint(1, 1_000_000),
                    created_at=now,
                )
                for _ in range(orders)
            )
        }
        self._sent_ms: dict[str, int] = {}
        self._acknowledged_ms: dict[str, int] = {}
        self.stored_ms: dict[str, int] = {}
        self._wrong: set[str] = set()

    @property
    def acknowledged(self) -> int:
        return sum(order_id in self._acknowledged_ms for order_id in self._orders)

    def send_user(self) -> None:
        now = datetime.now(UTC)
        self._send([UserEvent(timestamp=now, user=User(user_id=self.user_id, name="sesacctl smoke", created_at=now))])
        if not self._wait(self._see_user):
            raise CheckFailed(
                f"the user {self.user_id} was not stored in time",
                hint="sesacctl health; are consumers running? sesacctl consume",
            )

    def send_orders(self) -> None:
        now = datetime.now(UTC)
        self._send([OrderEvent(timestamp=now, order=row) for row in self._orders.values()])

    def wait_for_rows(self) -> None:
        self._wait(self._see_orders)

    def trace_others(self) -> list[NotStored]:
        """Where the first of those are that are not stored."""
        late = [order_id for order_id in self._orders if order_id not in self.stored_ms][:_MOST_TRACED]
        traces = [trace_event(self._settings, ORDERS, order_id, key=self.user_id) for order_id in late]
        return [NotStored(id=each.id or "", verdict=each.verdict, sentence=each.sentence) for each in traces]

    def remove(self) -> Removed:
        """Take everything out again; the loop itself may have made orders of a user that came into the cache."""
        try:
            return remove_user(self._settings, self.user_id, list(self._orders), reason="smoke")
        except CheckFailed:
            return remove_user(self._settings, self.user_id, self._all_orders(), reason="smoke")

    def report(self, not_stored: list[NotStored], removed: Removed) -> SmokeReport:
        acknowledged = [self._acknowledged_ms[each] - self._sent_ms[each] for each in self._acknowledged_ms]
        orders = [at - self._sent_ms.get(each, at) for each, at in self.stored_ms.items() if each in self._orders]
        user = [at - self._sent_ms.get(each, at) for each, at in self.stored_ms.items() if each not in self._orders]
        return SmokeReport(
            user_id=self.user_id,
            sent=len(self._orders),
            acknowledged=self.acknowledged,
            stored=len(orders) - len(self._wrong),
            wrong=sorted(self._wrong),
            hops=[
                _hop("sent to acknowledged", acknowledged),
                _hop("user: sent to its row", user),
                _hop("order: sent to its row", orders),
            ],
            not_stored=not_stored,
            removed=removed,
        )

    def _send(self, events: list[Event]) -> None:
        left = max(1.0, self._deadline - monotonic())
        with Sender(self._settings, delivery_seconds=left, on_delivery=self._on_delivery) as sender:
            for event in events:
                sender.publish(event)
            sender.flush(left)
            if sender.first_failure:
                raise CheckFailed(f"Kafka did not acknowledge: {sender.first_failure}", hint="sesacctl health")

    def _on_delivery(self, delivery: Delivery) -> None:
        self._sent_ms.update(zip(delivery.ids, delivery.sent_ms, strict=True))
        if delivery.error is None:
            self._acknowledged_ms.update(dict.fromkeys(delivery.ids, delivery.done_ms))

    def _wait(self, condition: Callable[[extensions.cursor], bool]) -> bool:
        with transaction(self._settings, command="smoke") as cursor:
            cursor.connection.autocommit = True  # each look is to see what is there by then
            while not (found := condition(cursor)) and monotonic() < self._deadline:
                if self._stop.wait(_LOOK_SECONDS):
                    raise KeyboardInterrupt
            return found

    def _see_user(self, cursor: extensions.cursor) -> bool:
        cursor.execute("SELECT user_id FROM users WHERE user_id = %s", (self.user_id,))
        return self._see([row[0] for row in cursor.fetchall()], 1)

    def _see_orders(self, cursor: extensions.cursor) -> bool:
        cursor.execute(
            "SELECT order_id, quantity, total_amount FROM orders WHERE order_id = ANY(%s)", (list(self._orders),)
        )
        rows = cursor.fetchall()
        ids = [order_id for order_id, _, _ in rows]
        self._wrong = {
            order_id
            for order_id, quantity, amount in rows
            if (quantity, amount) != (self._orders[order_id].quantity, self._orders[order_id].total_amount)
            or ids.count(order_id) > 1
        }
        return self._see(ids, len(self._orders))

    def _see(self, ids: list[str], wanted: int) -> bool:
        now = int(time() * 1000)
        for each in ids:
            self.stored_ms.setdefault(each, now)
        return len(set(ids)) == wanted

    def _all_orders(self) -> list[str]:
        with transaction(self._settings, command="smoke", bound=600) as cursor:
            cursor.execute("SELECT order_id FROM orders WHERE user_id = %s", (self.user_id,))
            return [*self._orders, *(row[0] for row in cursor.fetchall())]


def _product(settings: Settings) -> str:
    with transaction(settings, command="smoke") as cursor:
        cursor.execute("SELECT product_id FROM products LIMIT 1")
        found = cursor.fetchone()
    if found is None:
        raise CheckFailed("there is no product to order", hint="sesacctl db seed")
    return str(found[0])


def _hop(name: str, times: list[int]) -> HopTime:
    known = [max(0, each) for each in times]
    return HopTime(
        hop=name, count=len(known), median_ms=median(known) if known else None, longest_ms=max(known, default=None)
    )
