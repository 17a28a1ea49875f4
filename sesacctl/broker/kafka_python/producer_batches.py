"""Record batches that cost little per record, put into the queues of kafka-python's own sender.

`KafkaProducer.send` spends 18 to 25 µs of processor time on a keyed record of 450 bytes: a hash in pure Python, a
future with a lock, a list of pieces encoded byte by byte. What follows it (batches drained, sent, retried with their
sequence numbers, expired) costs next to nothing, because it is done per batch. So records are encoded and counted
here, at about 1 µs each, and everything after that is left to kafka-python.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial

from kafka import KafkaProducer, TopicPartition
from kafka.codec import zstd_encode
from kafka.producer.future import FutureRecordMetadata
from kafka.producer.producer_batch import ProducerBatch
from kafka.record.util import calc_crc32c, encode_varint

from sesacctl.events import Kind

BATCH_BYTES = 256 * 1024
_WORTH_PACKING = 2 * 1024
"""Less saves some hundred bytes, and costs the producer and each consumer more than all else that they do with it."""
# Kafka's documentation, "Message format": a record batch of version 2.
_HEADER = struct.Struct(">qiibIhiqqqhii")
_LENGTH_COUNTS_FROM, _CRC_AT, _CRC_COUNTS_FROM = 12, 17, 21
_VERSION, _ZSTD = 2, 4


@lru_cache(maxsize=65_536)
def varint(number: int) -> bytes:
    """Kafka's variable-length form of an integer."""
    encoded = bytearray()
    encode_varint(number, encoded.append)
    return bytes(encoded)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of some rows of one kind; `error` is None if Kafka has them. Times in milliseconds since 1970.

    `lingered_ms` is for how long all of them together waited for their batch to leave.
    """

    kind: Kind
    ids: list[str]
    sent_ms: list[int]
    done_ms: int
    lingered_ms: float
    size: int
    error: Exception | None


class Records:
    """The records of one batch; takes the place of kafka-python's `MemoryRecordsBuilder`."""

    def __init__(self) -> None:
        self._records: list[bytes] = []
        self._count = 0
        self._size = _HEADER.size
        self._first_ms = self._last_ms = 0
        self._buffer: bytes | None = None
        self.producer_id = self.producer_epoch = self.base_sequence = -1

    def add(self, key: bytes, value: bytes, at_ms: int) -> bool:
        """Add a record, `key` with its length before it; False if the batch is closed or has no room."""
        number = self._count
        if not number:
            self._first_ms = self._last_ms = at_ms
        body = b"".join((b"\0", varint(at_ms - self._first_ms), varint(number), key, varint(len(value)), value, b"\0"))
        record = varint(len(body)) + body
        if self._buffer is not None or (number and self._size + len(record) > BATCH_BYTES):
            return False
        self._records.append(record)
        self._count = number + 1
        self._size += len(record)
        self._last_ms = max(self._last_ms, at_ms)
        return True

    def next_offset(self) -> int:
        """How many records there are."""
        return self._count

    def is_full(self) -> bool:
        """Whether there is no point in waiting for more."""
        return self._buffer is not None or self._size >= BATCH_BYTES

    def size_in_bytes(self) -> int:
        """Compressed, once closed."""
        return self._size if self._buffer is None else len(self._buffer)

    def set_producer_state(self, producer_id: int, epoch: int, base_sequence: int, transactional: bool) -> None:
        """What the broker knows duplicates by; a batch that was sent keeps it."""
        assert self._buffer is None
        assert not transactional
        self.producer_id, self.producer_epoch, self.base_sequence = producer_id, epoch, base_sequence

    def close(self) -> None:
        """Encode the batch; no more records are taken."""
        if self._buffer is not None:
            return
        plain = b"".join(self._records)
        self._records = []
        packed = zstd_encode(plain) if len(plain) >= _WORTH_PACKING else plain
        body, attributes = (packed, _ZSTD) if len(packed) < len(plain) else (plain, 0)
        batch = bytearray(_HEADER.size) + body
        _HEADER.pack_into(
            batch, 0, 0, len(batch) - _LENGTH_COUNTS_FROM, 0, _VERSION, 0, attributes, self._count - 1,
            self._first_ms, self._last_ms, self.producer_id, self.producer_epoch, self.base_sequence, self._count,
        )  # fmt: skip
        struct.pack_into(">I", batch, _CRC_AT, calc_crc32c(memoryview(batch)[_CRC_COUNTS_FROM:]))
        self._buffer = bytes(batch)

    def buffer(self) -> bytes:
        """The closed batch as it goes to the broker."""
        assert self._buffer is not None
        return self._buffer


class ProducerRowBatch(ProducerBatch):  # type: ignore[misc]
    """A batch that tells, on the network thread, what became of its rows."""

    def __init__(self, kind: Kind, partition: TopicPartition, on_done: Callable[[Delivery], None]) -> None:
        super().__init__(partition, Records())
        del self._record_futures  # they cost more than the rest; see below
        self.ids: list[str] = []
        self.sent_ms: list[int] = []
        self.size = 0
        self._kind, self._on_done = kind, on_done
        self.produce_future.add_callback(self._finish)

    @cached_property
    def _record_futures(self) -> list[FutureRecordMetadata]:
        """Asked for when the broker finds the batch too large: its halves then tell about each row."""
        futures = []
        for index, at in enumerate(self.sent_ms):
            future = FutureRecordMetadata(self.produce_future, index, at, None, -1, -1, -1)
            future.add_both(partial(self._finish_row, index))
            futures.append(future)
        return futures

    def _finish(self, result: tuple[int, int, Callable[[int], Exception] | None]) -> None:
        error_of = result[2]
        self._send(self.ids, self.sent_ms, self.size, error_of(0) if error_of else None)

    def _finish_row(self, index: int, result: object) -> None:
        share, rest = divmod(self.size, len(self.ids))
        error = result if isinstance(result, Exception) else None
        self._send([self.ids[index]], [self.sent_ms[index]], share if index else share + rest, error)

    def _send(self, ids: list[str], sent_ms: list[int], size: int, error: Exception | None) -> None:
        now = time.time_ns() // 1_000_000
        left_ms = self.sent_ms[0] + 1000 * ((self.drained or self.created) - self.created)
        lingered = len(sent_ms) * left_ms - sum(sent_ms)
        self._on_done(
            Delivery(
                kind=self._kind,
                ids=ids,
                sent_ms=sent_ms,
                done_ms=now,
                lingered_ms=max(0.0, lingered),
                size=size,
                error=error,
            )
        )


class Lane:
    """The way to one partition: appends to its queue in kafka-python's accumulator."""

    def __init__(
        self, producer: KafkaProducer, kind: Kind, partition: TopicPartition, on_done: Callable[[Delivery], None]
    ) -> None:
        accumulator = producer._accumulator
        self._lock = accumulator._tp_lock(partition)
        self._queue: deque[ProducerBatch] = accumulator._batches[partition]
        self._incomplete = accumulator._incomplete
        self._wake_up = producer._sender.wakeup
        self._kind, self._partition, self._on_done = kind, partition, on_done

    def append(self, row_id: str, key: bytes, value: bytes) -> None:
        """Put a record into the batch that is open, or into a new one; `key` has its length before it."""
        now = time.time_ns() // 1_000_000
        with self._lock:
            last = self._queue[-1] if self._queue else None
            if isinstance(last, ProducerRowBatch) and last.records.add(key, value, now):
                batch = last
            else:
                batch = ProducerRowBatch(self._kind, self._partition, self._on_done)
                batch.records.add(key, value, now)
                self._queue.append(batch)
                self._incomplete.add(batch)
            batch.ids.append(row_id)
            batch.sent_ms.append(now)
            batch.size += len(value)
        if batch is not last:
            self._wake_up()
