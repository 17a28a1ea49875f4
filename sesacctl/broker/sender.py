"""Sending events so that every one is accounted for: bounded in flight, every acknowledgement checked."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache, partial
from types import TracebackType
from typing import Self

from kafka import TopicPartition
from kafka.errors import KafkaError
from kafka.partitioner import murmur2

from sesacctl.broker import topics
from sesacctl.broker.clients import producer
from sesacctl.broker.errors import translate_errors, unreachable
from sesacctl.broker.kafka_python import producer_state
from sesacctl.broker.kafka_python.producer_batches import Delivery, Lane, varint
from sesacctl.broker.limits import SizeLimits
from sesacctl.broker.linger import Linger
from sesacctl.errors import ServerUnreachable
from sesacctl.events import PARTITIONS, Event, Kind, OrderEvent, UserEvent, encode
from sesacctl.settings import Settings

logger = logging.getLogger(__name__)

DELIVERY_SECONDS = 120.0
MAX_IN_FLIGHT_BYTES = 16 * 1024 * 1024
_KEYS_REMEMBERED = 20_000
_CLOSE_SECONDS = 5.0


def partition_of(key: bytes, partitions: int) -> int:
    """The partition that every client of Kafka puts `key` into: murmur2, as Kafka's own Java client has it."""
    return int(murmur2(key) & 0x7FFF_FFFF) % partitions


def row_id(event: Event) -> str:
    """The primary key of the event's row."""
    if isinstance(event, OrderEvent):
        return event.order.order_id
    return event.user.user_id if isinstance(event, UserEvent) else event.product.product_id


class Sender:
    """Publishes events; the counters always add up: `sent = acknowledged + failed + in_flight`.

    An event goes to the topic of its kind with its row's own key (`user_id` of orders and users, `product_id`), is
    written at most once however often brokers die, and counts as acknowledged when all in-sync replicas have it. One
    that has failed may still be in Kafka: its acknowledgement did not come within `delivery_seconds`.

    >>> from datetime import UTC, datetime
    >>> from sesacctl import settings
    >>> from sesacctl.broker import Sender
    >>> from sesacctl.events import User, UserEvent
    >>> with Sender(settings.load()) as sender:
    ...     sender.publish(UserEvent(timestamp=datetime.now(UTC), user=User(user_id="U_1", name="홍길동")))
    ...     assert sender.flush(10.0)

    Left without an exception, the `with` block waits for what is in flight. Not for use by several threads.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        delivery_seconds: float = DELIVERY_SECONDS,
        max_in_flight_bytes: int = MAX_IN_FLIGHT_BYTES,
        on_delivery: Callable[[Delivery], None] = lambda _: None,
    ) -> None:
        """Connect; `on_delivery` is called with what became of events, in the thread that calls the methods below.

        Raises:
            TopicMissing: one of the three does not exist.
            ServerUnreachable: no broker answers in time.
            ServerRefused: authentication or authorization failed.
            ConfigurationError: settings that belong together are not there, or a file or function cannot be used.
        """
        topics.require(settings)
        self._settings = settings
        self._delivery_seconds = delivery_seconds
        self._done: deque[Delivery] = deque()
        self._producer = producer(settings, delivery_seconds=delivery_seconds)
        try:
            with translate_errors(settings):
                self._lanes = {kind: self._open(kind) for kind in PARTITIONS}
        except BaseException:
            self._producer.close(timeout=_CLOSE_SECONDS)
            raise
        self._on_delivery = on_delivery
        self._room = max_in_flight_bytes
        self._limits = SizeLimits(settings)
        self._linger = Linger(partial(producer_state.set_linger, self._producer))
        self._place = lru_cache(_KEYS_REMEMBERED)(self._find_place)
        self._news = threading.Event()
        self._heard = time.monotonic()
        self._refusal: Exception | None = None
        self._topic_lost = self._closed = False
        self.sent = self.acknowledged = self.failed = 0
        self.first_failure: str | None = None

    @property
    def in_flight(self) -> int:
        """Events sent of which nothing is known yet, as far as `collect` has looked."""
        return self.sent - self.acknowledged - self.failed

    @property
    def room(self) -> int:
        """Bytes of events that may be published before `publish` waits."""
        return self._room

    @property
    def silence(self) -> float:
        """For how many seconds Kafka has said nothing while events were in flight; 0 if none are."""
        return time.monotonic() - self._heard if self.in_flight else 0.0

    def publish(self, event: Event) -> None:
        """Send one event; waits while too much is in flight. It was not sent if this raises.

        Raises:
            EventTooLarge: Kafka would refuse it for its size.
            ServerRefused: Kafka has refused an earlier one for good.
            ServerUnreachable: too much is in flight, and for longer than `delivery_seconds` Kafka has said nothing.
            TopicMissing: the topic was deleted.
            ValueError: the sender is closed.
        """
        if self._closed:
            raise ValueError("the sender is closed")
        kind, key, value = encode(event)
        self._limits.require_fit(kind, partial(row_id, event), key, value)
        if self._room <= 0 or self._refusal or self._topic_lost:
            self._wait_for_room()
        lane, prefixed_key = self._place(kind, key)
        if not self.in_flight:
            self._heard = time.monotonic()
        lane.append(row_id(event), prefixed_key, value)
        self.sent += 1
        self._room -= len(value)
        self._linger.note(self.sent)

    def collect(self) -> None:
        """Count what has been acknowledged or has failed since; never waits."""
        while self._done and not self._closed:
            delivery = self._done.popleft()
            self._room += delivery.size
            if delivery.error is None:
                self._heard = time.monotonic()
                self.acknowledged += len(delivery.ids)
            else:
                self._count_failed(delivery, delivery.error)
            self._on_delivery(delivery)

    def wait(self, seconds: float) -> None:
        """Wait at most `seconds` for news of what is in flight, and count it."""
        self._news.clear()
        if not self._done and self.in_flight:
            self._news.wait(seconds)
        self.collect()

    def flush(self, seconds: float) -> bool:
        """Wait at most `seconds` until nothing is in flight; True if nothing is."""
        deadline = time.monotonic() + seconds
        self.collect()
        while self.in_flight and (left := deadline - time.monotonic()) > 0:
            self.wait(left)
        return not self.in_flight

    def close(self) -> None:
        """Disconnect at once; what is still in flight counts as failed, even if it arrives."""
        if self._closed:
            return
        self.collect()
        if self.in_flight:
            self.first_failure = self.first_failure or "closed before the acknowledgement came"
            producer_state.stop_sending(self._producer, _CLOSE_SECONDS)
        try:
            self._producer.close(timeout=_CLOSE_SECONDS)
        except KafkaError as error:
            logger.debug("closing: %s", error, extra={"action": "sender.close"})
        self.collect()
        self._closed = True
        self.failed += self.in_flight  # the client's thread may hang in a connection, and tell nothing in time

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.flush(self._delivery_seconds + _CLOSE_SECONDS)
        self.close()

    def _find_place(self, kind: Kind, key: bytes) -> tuple[Lane, bytes]:
        lanes = self._lanes[kind]
        return lanes[partition_of(key, len(lanes))], varint(len(key)) + key

    def _open(self, kind: Kind) -> list[Lane]:
        topic = self._settings.topic(kind)
        partitions = range(len(self._producer.partitions_for(topic)))
        return [Lane(self._producer, kind, TopicPartition(topic, index), self._receive) for index in partitions]

    def _receive(self, delivery: Delivery) -> None:
        """On the client's network thread."""
        self._done.append(delivery)
        self._news.set()

    def _count_failed(self, delivery: Delivery, error: Exception) -> None:
        self.failed += len(delivery.ids)
        why = self._limits.explain(delivery.kind, delivery.ids[0][:50], delivery.size, error)
        if self.first_failure is None:
            which = f"{delivery.kind} {delivery.ids[0][:50]}: " if len(delivery.ids) == 1 else ""
            self.first_failure = why or which + (str(error) or type(error).__name__)
            logger.error("not acknowledged: %s", self.first_failure, extra={"action": "sender.failed"})
        if producer_state.is_refused(self._producer):
            self._refusal = error
        elif not producer_state.knows_topic(self._producer, self._settings.topic(delivery.kind)):
            self._topic_lost = True

    def _wait_for_room(self) -> None:
        if self._topic_lost:
            self._topic_lost = False
            with suppress(ServerUnreachable):  # then the brokers are the problem, not the topic
                topics.require(self._settings)
        while self._room <= 0 and not self._refusal:
            if self.silence > self._delivery_seconds + _CLOSE_SECONDS:  # without a connection, nothing even expires
                raise unreachable(self._settings, TimeoutError())
            self.wait(1.0)
        if self._refusal:
            with translate_errors(self._settings):
                raise self._refusal
