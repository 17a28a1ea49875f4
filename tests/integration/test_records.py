"""Records of a topic read by position, outside every group."""

from __future__ import annotations

import threading
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from sesacctl.broker.offsets import log_bounds
from sesacctl.broker.records import RecordReader
from sesacctl.broker.sender import partition_of
from sesacctl.errors import OffsetMissing, TopicMissing
from sesacctl.events import ORDERS
from sesacctl.settings import Settings
from tests.helpers.events import send
from tests.helpers.topics import make_topics

NUMBERS = [(b"k", str(number).encode()) for number in range(20)]


@pytest.fixture
def log(settings: Settings) -> str:
    """Twenty records in partition 0 of the orders topic: its name."""
    make_topics(settings)
    send(settings, ORDERS, NUMBERS, partition=0)
    return settings.topic(ORDERS)


def values(settings: Settings, topic: str, start: int, end: int) -> list[bytes | None]:
    with RecordReader(settings) as reader:
        return [record.value for record in reader.read(topic, 0, start, end=end)]


def test_a_range_is_read_again_and_again(settings: Settings, log: str) -> None:
    with RecordReader(settings) as reader:
        for start, end in ((3, 6), (0, 20), (19, 20), (5, 5), (2, 4)):
            found = [record.value for record in reader.read(log, 0, start, end=end)]
            assert found == [value for _, value in NUMBERS[start:end]]
        assert next(reader.read(log, 0, 7, end=20)).offset == 7  # and the rest is not read
        assert [record.offset for record in reader.read(log, 0, 1, end=3)] == [1, 2]


def test_chunks_of_all_partitions_reach_their_ends(settings: Settings, log: str) -> None:
    send(settings, ORDERS, NUMBERS[:3], partition=8)
    bounds = {(each.topic, each.partition): each for each in log_bounds(settings, log)}
    ends = {where: each.stable_end for where, each in bounds.items()}
    reached = {where: each.start for where, each in bounds.items()}
    with RecordReader(settings) as reader:
        for chunk in reader.chunks(dict(reached), ends=ends):
            reached[chunk.topic, chunk.partition] = chunk.next_offset
    assert reached == ends
    assert (ends[log, 0], ends[log, 8], ends[log, 1]) == (20, 3, 0)


def test_markers_and_aborted_records_are_passed_over(settings: Settings, log: str) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.brokers, transactional_id=f"t-{uuid4()}")
    producer.init_transactions()
    for end in (producer.abort_transaction, producer.commit_transaction):
        producer.begin_transaction()
        producer.send(log, key=b"k", value=end.__name__.encode(), partition=0)
        producer.flush()
        end()
    producer.close()
    [end_of_log] = [each.stable_end for each in log_bounds(settings, log) if each.partition == 0]
    assert (end_of_log, values(settings, log, 20, end_of_log)) == (24, [b"commit_transaction"])


def test_what_expired_is_counted_and_passed_over(settings: Settings, log: str) -> None:
    admin = KafkaAdminClient(bootstrap_servers=settings.brokers)
    admin.delete_records({TopicPartition(log, 0): 5})
    admin.close()
    with RecordReader(settings) as reader:
        chunks = list(reader.chunks({(log, 0): 2}, ends={(log, 0): 8}))
    assert sum(chunk.expired for chunk in chunks) == 3
    assert [record.offset for chunk in chunks for record in chunk.records] == [5, 6, 7]


def test_an_offset_beyond_the_end_is_an_error(settings: Settings, log: str) -> None:
    with RecordReader(settings) as reader, pytest.raises(OffsetMissing, match="ends before offset 99"):
        list(reader.read(log, 0, 99, end=120))


def test_seconds_and_stop_end_a_wait_for_more(settings: Settings, log: str) -> None:
    stop = threading.Event()
    with RecordReader(settings) as reader:
        assert list(reader.chunks({(log, 0): 20}, seconds=0.2)) == []
        following = reader.chunks({(log, 0): 20}, stop=stop)
        sender = threading.Thread(target=send, args=(settings, ORDERS, [(b"k", b"new")]), kwargs={"partition": 0})
        sender.start()
        assert [record.value for record in next(following).records] == [b"new"]
        stop.set()
        assert list(following) == []
        sender.join()


def test_a_key_is_placed_as_kafka_s_own_producer_places_it(settings: Settings, log: str) -> None:
    producer = KafkaProducer(bootstrap_servers=settings.brokers)
    for key in (b"u1", "홍길동".encode(), b"\xff\x00", b""):
        placed = producer.send(log, key=key, value=b"x").get(timeout=60).partition
        assert placed == partition_of(key, len(log_bounds(settings, log)))
    producer.close()


def test_a_topic_that_is_not_there_is_named(settings: Settings) -> None:
    with pytest.raises(TopicMissing, match="nowhere"):
        log_bounds(settings, "nowhere")
