"""What topics take: `max.message.bytes`, looked up when a broker has refused an event for its size."""

from __future__ import annotations

import time
from collections.abc import Callable

from kafka.errors import MessageSizeTooLargeError, RecordListTooLargeError

from sesacctl.broker.clients import admin_client
from sesacctl.broker.kafka_python.producer_batches import Records, varint
from sesacctl.broker.topic_state import max_batch_bytes
from sesacctl.errors import EventTooLarge, SesacctlError
from sesacctl.events import Kind
from sesacctl.settings import Settings

# Of key and value; Kafka takes 1,048,588 bytes with what it adds.
MAX_EVENT_BYTES = 1_000_000
_KNOWN_SECONDS = 60.0  # then it may have been raised: the next event is sent, to see


class SizeLimits:
    """Refuses what is too large before it is sent, so that no batch is sent and split repeatedly for it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._limits: dict[Kind, tuple[float, int | None]] = {}  # when it was read; None: not known

    def require_fit(self, kind: Kind, row_id: Callable[[], str], key: bytes, value: bytes) -> None:
        """Return if Kafka takes the event, as far as is known; `row_id` is called for the message alone.

        Raises:
            EventTooLarge: Kafka would refuse it for its size.
        """
        size = len(key) + len(value)
        if size > MAX_EVENT_BYTES:
            raise EventTooLarge(f"{row_id()[:50]} ({kind}) has {size:,} bytes, and Kafka takes {MAX_EVENT_BYTES:,}")
        limit = self._known(kind) if self._limits else None
        if limit is not None and size > limit // 2 and (sent := _size_alone(key, value)) > limit:
            raise self._too_large(kind, row_id()[:50], sent, limit)

    def explain(self, kind: Kind, row_id: str, size: int, error: Exception) -> str | None:
        """Why a broker refused an event of at least `size` bytes; None if that was not for its size, or is not known.

        Asks the brokers, at most once a minute and kind.
        """
        if not isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
            return None
        self._known(kind)
        if kind not in self._limits:
            try:
                limit = self._read(self._settings.topic(kind))
            except SesacctlError:
                limit = None
            self._limits[kind] = time.monotonic(), limit
        limit = self._limits[kind][1]
        return None if limit is None else str(self._too_large(kind, row_id, size, limit))

    def _read(self, topic: str) -> int | None:
        with admin_client(self._settings) as client:
            return max_batch_bytes(client, topic)

    def _known(self, kind: Kind) -> int | None:
        """The limit, if it was read lately; an old one is forgotten."""
        read_at, limit = self._limits.get(kind, (0.0, None))
        if time.monotonic() - read_at > _KNOWN_SECONDS:
            self._limits.pop(kind, None)
            return None
        return limit

    def _too_large(self, kind: Kind, row_id: str, size: int, limit: int) -> EventTooLarge:
        topic = self._settings.topic(kind)
        return EventTooLarge(
            f"{row_id} ({kind}) has {size:,} bytes, and topic {topic} takes batches of {limit:,} (max.message.bytes)",
            hint=f"raise max.message.bytes of topic {topic}",
        )


def _size_alone(key: bytes, value: bytes) -> int:
    """Of a batch with nothing else in it, compressed."""
    records = Records()
    records.add(varint(len(key)) + key, value, 0)
    records.close()
    return records.size_in_bytes()
