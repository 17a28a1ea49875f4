"""Record batches as kafka-python itself reads them, and where keys go."""

from __future__ import annotations

from unittest.mock import MagicMock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka import TopicPartition
from kafka.partitioner import DefaultPartitioner
from kafka.record import MemoryRecords

from sesacctl.broker import clients
from sesacctl.broker.kafka_python.producer_batches import BATCH_BYTES, Delivery, ProducerRowBatch, Records, varint
from sesacctl.broker.sender import partition_of
from sesacctl.events import Kind
from sesacctl.settings import load


def prefixed(key: bytes) -> bytes:
    return varint(len(key)) + key


def read(records: Records) -> list[tuple[int, int, bytes, bytes]]:
    """Offset, time, key and value of each record; the checksum is checked."""
    batch = MemoryRecords(records.buffer()).next_batch()
    assert batch.validate_crc()
    return [(record.offset, record.timestamp, record.key, record.value) for record in batch]


@given(
    rows=st.lists(
        st.tuples(st.binary(max_size=60), st.binary(max_size=3000), st.integers(1_700_000_000_000, 1_900_000_000_000)),
        min_size=1,
        max_size=30,
    )
)
def test_added_records_are_read_back_by_a_consumer(rows: list[tuple[bytes, bytes, int]]) -> None:
    records = Records()
    for key, value, at in rows:
        assert records.add(prefixed(key), value, at)
    records.close()
    assert read(records) == [(number, at, key, value) for number, (key, value, at) in enumerate(rows)]


def test_a_batch_carries_what_the_broker_knows_duplicates_by() -> None:
    records = Records()
    records.add(prefixed(b"k"), b"v", 1_700_000_000_000)
    records.set_producer_state(77, 3, 1234, False)
    records.close()
    batch = MemoryRecords(records.buffer()).next_batch()
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (77, 3, 1234)
    assert not batch.is_transactional
    assert records.next_offset() == 1


def test_text_is_compressed_and_noise_is_not() -> None:
    text, noise = Records(), Records()
    text.add(prefixed(b"k"), b"abc" * 1000, 1_700_000_000_000)
    noise.add(prefixed(b"k"), b"\x01", 1_700_000_000_000)
    for records in (text, noise):
        records.close()
    assert text.size_in_bytes() < 300
    assert MemoryRecords(noise.buffer()).next_batch().compression_type == 0


def test_a_few_records_are_not_worth_compressing() -> None:
    """Of single events it would be most of what producer and consumers do."""
    few = Records()
    few.add(prefixed(b"k"), b"abc" * 300, 1_700_000_000_000)
    few.close()
    assert MemoryRecords(few.buffer()).next_batch().compression_type == 0


def test_a_full_batch_takes_no_more_but_any_first_record() -> None:
    records = Records()
    assert records.add(prefixed(b"k"), b"x" * BATCH_BYTES, 1_700_000_000_000)
    assert records.is_full()
    assert not records.add(prefixed(b"k"), b"x", 1_700_000_000_000)
    records.close()
    assert [len(value) for *_, value in read(records)] == [BATCH_BYTES]


def test_a_closed_batch_takes_no_more() -> None:
    records = Records()
    records.add(prefixed(b"k"), b"1", 1_700_000_000_000)
    records.close()
    buffer = records.buffer()
    assert not records.add(prefixed(b"k"), b"2", 1_700_000_000_000)
    records.close()
    assert records.buffer() is buffer


def open_batch(rows: int) -> tuple[ProducerRowBatch, list[Delivery]]:
    told: list[Delivery] = []
    batch = ProducerRowBatch(Kind.ORDERS, TopicPartition("orders", 0), told.append)
    for number in range(rows):
        batch.records.add(prefixed(b"k"), b"v" * 10, 1_700_000_000_000)
        batch.ids.append(f"o{number}")
        batch.sent_ms.append(1_700_000_000_000)
        batch.size += 10
    return batch, told


def test_one_acknowledgement_counts_for_all_rows_of_a_batch() -> None:
    batch, told = open_batch(3)
    batch.complete(100, -1)
    [delivery] = told
    assert (delivery.kind, delivery.ids, delivery.size, delivery.error) == ("orders", ["o0", "o1", "o2"], 30, None)


@pytest.mark.parametrize("how", ["refused", "aborted"])
def test_one_failure_counts_for_all_rows_of_a_batch(how: str) -> None:
    batch, told = open_batch(3)
    error = RuntimeError("no")
    if how == "refused":
        batch.complete_exceptionally(error, lambda _: error)
    else:
        batch.abort(error)
    [delivery] = told
    assert (delivery.ids, delivery.error) == (["o0", "o1", "o2"], error)


def test_the_halves_of_a_split_batch_report_each_row_once() -> None:
    """As `RecordAccumulator.split_and_reenqueue` does it: each record's future moves to one of the halves."""
    batch, told = open_batch(3)
    halves = [ProducerRowBatch(Kind.ORDERS, TopicPartition("orders", 0), lambda _: None) for _ in range(2)]
    for index in range(len(batch._record_futures)):
        batch._record_futures[index].rebind(halves[index // 2].produce_future, index % 2)
    assert told == []
    halves[0].complete(100, -1)
    halves[1].abort(RuntimeError("no"))
    assert [(delivery.ids, delivery.error is None) for delivery in told] == [
        (["o0"], True),
        (["o1"], True),
        (["o2"], False),
    ]
    assert sum(delivery.size for delivery in told) == 30


def test_a_producer_sets_acks_all_and_idempotence_explicitly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library's defaults may change, and one of the two turns the other off silently."""
    asked: dict[str, object] = {}
    monkeypatch.setattr(clients, "KafkaProducer", lambda **options: asked.update(options) or MagicMock())
    monkeypatch.setattr(clients, "make_recoverable", lambda _: None)
    monkeypatch.setattr(clients, "_prepare_for_long", lambda *_: None)
    clients.producer(load(), delivery_seconds=5.0)
    assert (asked["enable_idempotence"], asked["acks"], asked["delivery_timeout_ms"]) == (True, "all", 5000)


@given(key=st.binary(min_size=1, max_size=60), partitions=st.integers(1, 50))
def test_a_key_goes_where_every_client_of_kafka_puts_it(key: bytes, partitions: int) -> None:
    class Cluster:
        def topics(self) -> set[str]:
            return {"orders"}

        def partitions_for_topic(self, _topic: str) -> set[int]:
            return set(range(partitions))

        available_partitions_for_topic = partitions_for_topic

    theirs = DefaultPartitioner().partition("orders", key, key, b"", b"", Cluster())
    assert partition_of(key, partitions) == theirs


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        # The strings and values of the test of org.apache.kafka.common.utils.Utils.murmur2.
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_a_key_goes_where_the_java_client_puts_it(key: bytes, hashed: int) -> None:
    assert partition_of(key, 9) == (hashed & 0x7FFF_FFFF) % 9
