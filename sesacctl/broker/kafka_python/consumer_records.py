"""Records of fetched batches, read at a fifth of what they cost in kafka-python.

`KafkaConsumer.poll` took two thirds of a consumer's processor time, most of it for a dozen calls and thirteen fields a
record. Only that is done here; what is fetched, checked, decompressed and skipped as aborted stays kafka-python's.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import Any

from kafka import KafkaConsumer
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError, UnsupportedCodecError
from msgspec import Struct

from sesacctl.errors import UnreadableBatch

_CODECS = {0: "none", 1: "gzip", 2: "snappy", 3: "lz4", 4: "zstd"}
# Numbers by the 7 or 14 bits that they are written in: every second one is negative.
_SHORT = [(bits >> 1) ^ -(bits & 1) for bits in range(1 << 14)]
_PACKAGES = {2: "python-snappy", 3: "lz4", 4: "zstandard"}


class Record(Struct, gc=False):
    """A record as it came; `timestamp` in milliseconds since 1970, -1 if unknown. Header names may be any bytes.

    `leader_epoch`: of the batch that it is in, -1 if unknown. `decoded`: room for what somebody has made of it.
    """

    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[bytes, bytes | None]]
    leader_epoch: int
    decoded: Any = None

    def crc(self) -> int:
        """CRC-32 of key and value: with the offset and the timestamp enough to tell two records apart."""
        return zlib.crc32(self.value or b"", zlib.crc32(self.key or b""))


Span = tuple[int, int]
"""Offsets from the first up to but not including the second."""


class Skipped:
    """Offsets that a reader has passed over knowingly: transaction markers, and records that were aborted."""

    def __init__(self) -> None:
        self._ends: defaultdict[Any, dict[int, int]] = defaultdict(dict)

    def add(self, partition: Any, first: int, end: int) -> None:
        """Note a batch; the same one may be read again."""
        self._ends[partition][first] = end

    def within(self, partition: Any, first: int, end: int) -> list[Span]:
        """What of `first` to `end` was passed over; what lies before `first` is forgotten."""
        found = self._ends[partition]
        for begin in [begin for begin, stop in found.items() if stop <= first]:
            del found[begin]
        return [(max(begin, first), min(stop, end)) for begin, stop in found.items() if begin < end]

    def forget(self, partition: Any) -> None:
        """Reading begins elsewhere, perhaps in another log of that name."""
        self._ends.pop(partition, None)


def fast_reading(consumer: KafkaConsumer) -> None:
    """Have `poll` hand out `Record`s instead of kafka-python's own, and note what it passes over."""
    consumer._fetcher.PartitionRecords = partial(_PartitionRecords, Skipped())


def skipped(consumer: KafkaConsumer) -> Skipped:
    """What a consumer that reads fast has passed over."""
    found: Skipped = consumer._fetcher.PartitionRecords.args[0]
    return found


class _PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    next_fetch_offset: int

    def __init__(self, skipped: Skipped, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._skipped = skipped

    def take(self, n: int | None = None) -> list[Record]:
        """The next records. Within a batch, where reading continues is told by the last of them."""
        found: list[Record] = super().take(n)
        if found:
            self.next_fetch_offset = max(self.next_fetch_offset, found[-1].offset + 1)
        return found

    def _unpack_records(self, tp: Any, records: Any, *_deserializers: object) -> Iterator[Record]:
        while (batch := records.next_batch()) is not None:
            if not batch.validate_crc():
                raise CorruptRecordError(f"{tp.topic}-{tp.partition}: the batch at {batch.base_offset} is damaged")
            if self._is_hidden(batch):
                self._skipped.add(tp, batch.base_offset, batch.next_offset)
            elif records_of_batch := _read(tp, batch):
                yield from records_of_batch
                self.next_fetch_offset = records_of_batch[-1].offset + 1
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


def _read(tp: Any, batch: Any) -> list[Record]:
    """The records of a batch: Kafka's documentation, "Message format", record of version 2.

    Raises:
        UnreadableBatch: it cannot be decompressed, or lengths do not fit. Its checksum is right: it will come like this
            again.
    """
    _decompress(tp, batch)
    if batch.magic < 2:
        return [Record(each.offset, each.timestamp or -1, each.key, each.value, [], -1) for each in batch]
    try:
        if (found := _records(batch, bytes(batch._buffer))) is not None:
            return found
    except IndexError:
        pass
    raise _unreadable(tp, batch, "has the right checksum, but its records do not have the lengths that they say")


def _records(batch: Any, data: bytes) -> list[Record] | None:
    """None if their lengths do not fit. Numbers of one or two bytes, which nearly all are, are read without a call."""
    found: list[Record] = []
    at, base, first_ms, epoch = batch._pos, batch.base_offset, batch.first_timestamp, batch.leader_epoch
    appended_ms = batch.max_timestamp if batch.timestamp_type else None
    for _ in range(batch.records_count):
        if (low := data[at]) > 127 and (high := data[at + 1]) < 128:
            size, at = _SHORT[low & 127 | high << 7], at + 2
        else:
            size, at = _varint(data, at)
        end = at + size
        at += 1  # after the attributes, which are unused
        delta, at = (_SHORT[low], at + 1) if (low := data[at]) < 128 else _varint(data, at)
        if (low := data[at]) < 128:
            offset, at = _SHORT[low], at + 1
        elif (high := data[at + 1]) < 128:
            offset, at = _SHORT[low & 127 | high << 7], at + 2
        else:
            offset, at = _varint(data, at)
        key, at = _text(data, at)
        if (low := data[at]) > 127 and not low & 1 and (high := data[at + 1]) < 128:  # at least 0
            begin = at + 2
            at = begin + _SHORT[low & 127 | high << 7]
            value: bytes | None = data[begin:at]
        else:
            value, at = _text(data, at)
        headers: list[tuple[bytes, bytes | None]] = []
        if data[at]:
            headers, at = _headers(data, at)
        else:
            at += 1
        if at != end:
            return None
        timestamp = first_ms + delta if appended_ms is None else appended_ms
        found.append(Record(base + offset, timestamp, key, value, headers, epoch))
    return found if at == len(data) else None


def _decompress(tp: Any, batch: Any) -> None:
    try:
        if batch.magic < 2:
            list(batch)  # what it has decompressed, it keeps
        else:
            batch._maybe_uncompress()
    except UnsupportedCodecError:
        package = _PACKAGES.get(batch.compression_type)
        if package is None:
            raise _unreadable(tp, batch, "is compressed in a way that this sesacctl does not know") from None
        hint = f"pip install {package}, then the same command again"
        raise _unreadable(tp, batch, f"needs a package that is not installed: {package}", hint=hint) from None
    except Exception as error:  # each codec has errors of its own
        raise _unreadable(tp, batch, f"cannot be decompressed ({type(error).__name__}: {error})") from None


def _unreadable(tp: Any, batch: Any, problem: str, *, hint: str | None = None) -> UnreadableBatch:
    codec, offset = batch.compression_type, batch.base_offset
    end = offset + 1 if batch.magic < 2 else batch.next_offset
    return UnreadableBatch(
        f"{tp.topic}-{tp.partition}: the batch at offset {offset} ({_CODECS.get(codec, f'codec {codec}')}) {problem}",
        hint=hint
        or "have its events sent again, with gzip, snappy, lz4 or zstd; to continue without the batch:"
        f" kafka-delete-records up to offset {end}, then sesacctl consume --accept-gap",
    )


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
