"""Consumed records: what `poll` hands out, against kafka-python's own reader."""

from __future__ import annotations

import struct
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.consumer.fetcher import Fetcher
from kafka.errors import CorruptRecordError
from kafka.protocol.consumer import IsolationLevel
from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatchBuilder
from kafka.record.legacy_records import LegacyRecordBatchBuilder
from kafka.record.util import calc_crc32, calc_crc32c

from sesacctl.broker.kafka_python.consumer_records import Record, fast_reading
from sesacctl.errors import UnreadableBatch

ORDERS = TopicPartition("orders", 0)
AT = 1_700_000_000_000
Row = tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]
ROW: Row = (AT, b"k", b"v", [])


def batch(
    rows: list[Row], *, first: int = 0, compression: int = 0, transactional: bool = False, producer_id: int = -1
) -> bytes:
    """A record batch as kafka-python's own producer makes it."""
    builder = DefaultRecordBatchBuilder(
        2,
        compression,
        transactional,
        producer_id,
        0 if producer_id >= 0 else -1,
        0 if producer_id >= 0 else -1,
        1 << 20,
    )
    for number, (at, key, value, headers) in enumerate(rows):
        assert builder.append(number, at, key, value, headers)
    made = bytearray(builder.build())
    struct.pack_into(">q", made, 0, first)
    return bytes(made)


def changed(made: bytes, at: int, form: str, *values: Any) -> bytes:
    """The batch with other values at a place, and its checksum put right."""
    found = bytearray(made)
    struct.pack_into(form, found, at, *values)
    struct.pack_into(">I", found, 17, calc_crc32c(memoryview(found)[21:]))
    return bytes(found)


def control(producer_id: int, *, first: int, commit: bool) -> bytes:
    """A transaction's marker."""
    made = batch(
        [(AT, struct.pack(">hh", 0, commit), b"", [])], first=first, transactional=True, producer_id=producer_id
    )
    return changed(made, 21, ">h", 0x30)


def unpack(data: bytes, *, ours: bool = True, at: int = 0, aborted: list[tuple[int, int]] | None = None) -> Any:
    """The reader of a fetched partition, from offset `at` on; `aborted` has producer ids and first offsets."""
    consumer = SimpleNamespace(_fetcher=SimpleNamespace(PartitionRecords=Fetcher.PartitionRecords))
    if ours:
        fast_reading(consumer)
    return consumer._fetcher.PartitionRecords(
        at,
        ORDERS,
        MemoryRecords(data),
        isolation_level=IsolationLevel.READ_COMMITTED,
        aborted_transactions=[SimpleNamespace(producer_id=who, first_offset=first) for who, first in aborted or []],
    )


def seen(records: list[Any]) -> list[tuple[Any, ...]]:
    """The fields that matter; kafka-python decodes the names of headers."""
    return [
        (
            record.offset,
            record.timestamp,
            record.key,
            record.value,
            [(name if isinstance(name, bytes) else name.encode(), value) for name, value in record.headers],
        )
        for record in records
    ]


ROWS = st.lists(
    st.tuples(
        st.integers(AT - 10**10, AT + 10**10),
        st.none() | st.binary(max_size=80),
        st.none() | st.binary(max_size=20_000),
        st.lists(st.tuples(st.text(max_size=9), st.none() | st.binary(max_size=200)), max_size=3),
    ),
    min_size=1,
    max_size=20,
)


# Where numbers get another byte: lengths of values and records, offsets and times within the batch.
_EDGES: list[Row] = [
    (AT + number, b"k", b"v" * size, []) for number, size in enumerate((0, 54, 55, 62, 63, 64, 8_180, 8_192, 9_000))
]
_MANY: list[Row] = [(AT + number // 50, None, b"", []) for number in range(8_200)]


@example(rows=_EDGES, first=0, compression=0, skip=0)
@example(rows=_MANY, first=0, compression=4, skip=3)
@given(rows=ROWS, first=st.integers(0, 2**60), compression=st.sampled_from([0, 1, 2, 3, 4]), skip=st.integers(0, 3))
def test_records_are_those_of_kafka_python(rows: list[Row], first: int, compression: int, skip: int) -> None:
    data = batch(rows, first=first, compression=compression) + batch(rows, first=first + len(rows))
    ours, theirs = unpack(data, at=first + skip), unpack(data, at=first + skip, ours=False)
    for count in (1, 5, None):
        assert seen(ours.take(count) if ours else []) == seen(theirs.take(count) if theirs else [])
        assert ours.next_fetch_offset == theirs.next_fetch_offset


@pytest.mark.parametrize("ours", [True, False])
def test_aborted_transactions_and_markers_are_passed_over(ours: bool) -> None:
    data = (
        batch([ROW] * 2, first=0, transactional=True, producer_id=7)
        + batch([ROW] * 2, first=2, transactional=True, producer_id=8)
        + control(7, first=4, commit=False)
        + control(8, first=5, commit=True)
        + batch([ROW], first=6, transactional=True, producer_id=7)
        + control(7, first=7, commit=True)
    )
    reader = unpack(data, ours=ours, aborted=[(7, 0)])
    assert [record.offset for record in reader.take()] == [2, 3, 6]
    assert reader.next_fetch_offset == 8
    if ours:
        assert reader._skipped.within(ORDERS, 0, 8) == [(0, 2), (4, 5), (5, 6), (7, 8)]


def test_the_end_of_a_compacted_batch_is_passed() -> None:
    data = changed(batch([ROW] * 2), 23, ">i", 9)  # the offset of the last record that there was
    reader = unpack(data)
    assert [record.offset for record in reader.take()] == [0, 1]
    assert reader.next_fetch_offset == 10


def test_the_brokers_time_replaces_the_records_own() -> None:
    data = changed(changed(batch([ROW]), 35, ">q", AT + 5), 21, ">h", 0x08)
    assert unpack(data).take() == [Record(0, AT + 5, b"k", b"v", [], 0)]


def test_a_header_with_any_name_is_read() -> None:
    data = bytearray(batch([(AT, b"k", b"v", [("name", None)])]))
    at = data.index(b"name")
    assert unpack(changed(bytes(data), at, "4s", b"\xff\x00\xfe\x80")).take()[0].headers == [
        (b"\xff\x00\xfe\x80", None)
    ]


def test_a_wrong_checksum_is_retried_as_a_transfer_error() -> None:
    made = batch([ROW] * 2)
    reader = unpack(made[:-1] + bytes([made[-1] ^ 1]))
    with pytest.raises(CorruptRecordError):
        reader.take()


def codec(number: int) -> Callable[[bytes], bytes]:
    """Says that a batch is compressed in another way than it is."""
    return lambda made: changed(made, 21, ">h", number)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda made: changed(made, 61, ">B", made[61] + 2), "(none) has the right checksum"),  # a record's length
        (lambda made: changed(made, 57, ">i", 3), "(none) has the right checksum"),  # the number of records
        (lambda made: changed(made, 57, ">i", 1), "(none) has the right checksum"),
        (codec(1), "(gzip) cannot be decompressed"),
        (codec(2), "(snappy) cannot be decompressed"),
        (codec(3), "(lz4) cannot be decompressed"),
        (codec(4), "(zstd) cannot be decompressed"),
        (codec(5), "(codec 5) is compressed in a way"),
        (codec(6), "(codec 6) is compressed in a way"),
        (codec(7), "(codec 7) is compressed in a way"),
    ],
    ids=["length", "too few records", "too many records", "gzip", "snappy", "lz4", "zstd", "5", "6", "7"],
)
def test_an_unreadable_batch_is_named_after_earlier_records(damage: Callable[[bytes], bytes], says: str) -> None:
    reader = unpack(batch([ROW] * 2) + damage(batch([ROW] * 2, first=2)))
    records = reader.take()
    with pytest.raises(UnreadableBatch) as raised:
        records += reader.take()
    assert [record.offset for record in records[:2]] == [0, 1]
    assert f"orders-0: the batch at offset 2 {says}" in str(raised.value)
    assert "up to offset 4," in str(raised.value.hint)
    assert (raised.value.exit_code, raised.value.retriable) == (5, False)


def test_a_codec_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    made = batch([(AT, b"k", b"v" * 200, [])], compression=2)
    monkeypatch.setattr("kafka.codec.snappy", None)
    with pytest.raises(
        UnreadableBatch, match=r"orders-0: the batch at offset 0 \(snappy\) needs .*python-snappy"
    ) as raised:
        unpack(made).take()
    assert str(raised.value.hint).startswith("pip install python-snappy")


@pytest.mark.parametrize("magic", [0, 1])
def test_a_damaged_batch_of_an_old_version_is_named_too(magic: int) -> None:
    builder = LegacyRecordBatchBuilder(magic=magic, compression_type=1, batch_size=1 << 20)
    builder.append(0, AT, b"k", b"v")
    made = bytearray(builder.build())
    made[-12] ^= 0xFF
    struct.pack_into(">I", made, 12, calc_crc32(memoryview(made)[16:]))
    with pytest.raises(UnreadableBatch, match=r"\(gzip\) cannot be decompressed"):
        unpack(bytes(made)).take()
