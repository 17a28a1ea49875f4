"""Sending events so that every one is accounted for: bounded in flight, every acknowledgement checked."""

from __future__ import annotations

import logging
import time
from collections import deque
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from kafka.errors import KafkaError, KafkaTimeoutError

from sesacctl.broker.clients import producer, translated
from sesacctl.events import Event, encode
from sesacctl.settings import Settings

log = logging.getLogger(__name__)

MAX_IN_FLIGHT = 20_000
_SAMPLE_EVERY = 8


class Sender:
    """Publishes events; the counters always add up: `sent = acknowledged + failed + in_flight`.

    >>> with Sender(settings) as sender:
    ...     sender.publish(UserEvent(timestamp=now, user=User(user_id="U_1", name="홍길동")))
    ...     sender.flush(10.0)

    Not for use by several threads. A producer's `flush` only logs what failed; this one counts it.
    """

    def __init__(self, settings: Settings, *, max_in_flight: int = MAX_IN_FLIGHT) -> None:
        """Connect.

        Raises:
            ServerUnreachable, ServerRefused, ConfigurationError
        """
        self._settings = settings
        self._producer = producer(settings)
        self._max_in_flight = max_in_flight
        self._in_flight: deque[Any] = deque()
        self._topics: dict[str, str] = {}
        self.sent = self.acknowledged = self.failed = 0
        self.first_failure: str | None = None
        self.latencies_ms: deque[float] = deque(maxlen=100_000)

    @property
    def in_flight(self) -> int:
        """Events sent and neither acknowledged nor failed, as far as `collect` has looked."""
        return len(self._in_flight)

    def publish(self, event: Event) -> None:
        """Send one event to the topic of its kind, with its row's own key. Waits while too many are in flight.

        Raises:
            ServerUnreachable: no broker takes it, or the oldest in flight gets no answer; it is not sent.
            TopicMissing, ServerRefused: it cannot be sent at all.
        """
        kind, key, value = encode(event)
        if len(self._in_flight) >= self._max_in_flight:
            self.collect()
            while len(self._in_flight) >= self._max_in_flight:
                self._wait_for_oldest(1.0)
        topic = self._topics.get(kind) or self._topics.setdefault(kind, self._settings.topic(kind))
        with translated(self._settings):
            future = self._producer.send(topic, value=value, key=key)
        if self.sent % _SAMPLE_EVERY == 0:
            future.add_callback(self._observe, time.perf_counter())
        self.sent += 1
        self._in_flight.append(future)

    def collect(self) -> None:
        """Count what has been acknowledged or has failed since; never waits."""
        pending = self._in_flight
        while pending and pending[0].is_done:
            future = pending.popleft()
            if future.exception is None:
                self.acknowledged += 1
            else:
                self.failed += 1
                if self.first_failure is None:
                    self.first_failure = f"{type(future.exception).__name__}: {future.exception}"
                    log.error("not delivered: %s", self.first_failure, extra={"action": "produce.failed"})

    def flush(self, seconds: float) -> bool:
        """Wait until nothing is in flight, `seconds` at the most; True if nothing is."""
        deadline = time.monotonic() + seconds
        try:
            self._producer.flush(timeout=seconds)
        except KafkaTimeoutError:
            log.warning("not all events were acknowledged in time", extra={"action": "produce.flush"})
        self.collect()
        while self._in_flight and time.monotonic() < deadline:
            self._wait_for_oldest(0.1)
        return not self._in_flight

    def close(self) -> None:
        """Give up what is still in flight and disconnect; call `flush` first."""
        try:
            self._producer.close(timeout=0)
        except KafkaError as error:
            log.debug("closing: %s", error, extra={"action": "produce.close"})
        self.collect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _wait_for_oldest(self, seconds: float) -> None:
        with suppress(KafkaError):  # a failure is counted by `collect`; a time-out is no news
            self._in_flight[0].get(timeout=seconds)
        self.collect()

    def _observe(self, sent_at: float, _metadata: object) -> None:
        self.latencies_ms.append((time.perf_counter() - sent_at) * 1000)
