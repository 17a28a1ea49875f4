"""Records of fetched batches, read at a fifth of what they cost in kafka-python.

`KafkaConsumer.poll` took two thirds of a consumer's processor time, most of it for a dozen calls and thirteen fields a
record. Only that is done here; what is fetched, checked, decompressed and skipped as aborted stays kafka-python's.
`fast_reading` is the only place that knows how its fetcher is laid out; pyproject.toml holds kafka-python to the
versions that are laid out like this.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kafka import KafkaConsumer
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from msgspec import Struct


class Record(Struct, gc=False):
    """A record as it came; `timestamp` in milliseconds since 1970, -1 if unknown. Header names may be any bytes."""

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[bytes, bytes | None]]


def fast_reading(consumer: KafkaConsumer) -> None:
    """Have `poll` hand out `Record`s instead of kafka-python's own."""
    consumer._fetcher.PartitionRecords = _PartitionRecords


class _PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    def _unpack_records(self, tp: Any, records: Any, *deserializers: object) -> Iterator[Record]:
        while (batch := records.next_batch()) is not None:
            if not batch.validate_crc():
                raise CorruptRecordError(f"{tp.topic}-{tp.partition}: the batch at {batch.base_offset} is damaged")
            if not self._is_hidden(batch):
                for record in _read(batch):
                    self.next_fetch_offset = record.offset + 1
                    yield record
            if batch.magic == 2:  # its last records may be gone from a compacted topic
                self.next_fetch_offset = batch.next_offset
        self.drain()

    def _is_hidden(self, batch: Any) -> bool:
        """Whether it is a transaction's marker, or belongs to a transaction that was aborted."""
        if batch.magic < 2:
            return False
        self.leader_epoch = batch.leader_epoch
        if batch.has_producer_id():
            self._consume_aborted_transactions_up_to(batch.last_offset)
            if self._contains_abort_marker(batch):
                self.aborted_producer_ids.discard(batch.producer_id)
            elif self._is_batch_aborted(batch):
                return True
        return bool(batch.is_control_batch)


def _read(batch: Any) -> Iterator[Record]:
    """The records of a batch: Kafka's documentation, "Message format", record of version 2.

    Raises:
        CorruptRecordError: lengths do not fit.
    """
    if batch.magic < 2:
        yield from (Record(each.offset, each.timestamp or -1, each.key, each.value, []) for each in batch)
        return
    batch._maybe_uncompress()
    data, at = bytes(batch._buffer), batch._pos
    base, first_ms = batch.base_offset, batch.first_timestamp
    appended_ms = batch.max_timestamp if batch.timestamp_type else None
    try:
        for _ in range(batch.records_count):
            size, at = _varint(data, at)
            end = at + size
            delta, at = _varint(data, at + 1)  # after the attributes, which are unused
            timestamp = first_ms + delta if appended_ms is None else appended_ms
            offset, at = _varint(data, at)
            key, at = _text(data, at)
            value, at = _text(data, at)
            headers: list[tuple[bytes, bytes | None]] = []
            if data[at]:
                headers, at = _headers(data, at)
            else:
                at += 1
            if at != end:
                break
            yield Record(base + offset, timestamp, key, value, headers)
        else:
            if at == len(data):
                return
    except IndexError:
        pass
    raise CorruptRecordError(f"the records of the batch at {base} do not have the lengths that they say")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Kafka's variable-length integer, and where it ends."""
    byte = data[at]
    at += 1
    if byte < 128:
        return (byte >> 1) ^ -(byte & 1), at
    number, shift = byte & 127, 7
    while (byte := data[at]) > 127:
        number |= (byte & 127) << shift
        shift += 7
        at += 1
    number |= byte << shift
    return (number >> 1) ^ -(number & 1), at + 1


def _text(data: bytes, at: int) -> tuple[bytes | None, int]:
    """Bytes with their length before them, -1 for none, and where they end."""
    size, at = _varint(data, at)
    return (None, at) if size < 0 else (data[at : at + size], at + size)


def _headers(data: bytes, at: int) -> tuple[list[tuple[bytes, bytes | None]], int]:
    headers = []
    count, at = _varint(data, at)
    for _ in range(count):
        name, at = _text(data, at)
        value, at = _text(data, at)
        headers.append((name or b"", value))
    return headers, at
