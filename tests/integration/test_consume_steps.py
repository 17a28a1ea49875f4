"""One instance in this process: which offsets it takes for stored, and what it does between two steps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg2
import pytest
from kafka import KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError, LogTruncationError, NoOffsetForPartitionError, NotLeaderForPartitionError

from sesacctl.broker import clients, topics
from sesacctl.broker.offsets import log_offsets
from sesacctl.database import connections
from sesacctl.database.connections import connect
from sesacctl.events import ORDERS, PRODUCTS, USERS
from sesacctl.pipeline.audit.partitions import read_partitions
from sesacctl.pipeline.audit.report import audit
from sesacctl.pipeline.consume import instance as consume
from sesacctl.pipeline.consume import log_gaps
from sesacctl.pipeline.consume.parked import parents_without_lag
from sesacctl.pipeline.consume.status import Status, Timer
from sesacctl.pipeline.sink.store import Sink
from sesacctl.settings import Settings
from tests.helpers.consumers import Running, running, store_all, stored
from tests.helpers.events import add_parents, many_orders, message, order, query, send, user
from tests.helpers.topics import make_topics
from tests.helpers.waiting import wait_until


@pytest.fixture
def shop(settings: Settings) -> Settings:
    """Topics, users u1 … u100 and product p1."""
    make_topics(settings)
    add_parents(settings, users=100)
    return settings


def control(settings: Settings) -> int:
    return int(query(settings, "SELECT coalesce(sum(control), 0) FROM sink_offsets")[0][0])


def accounted(settings: Settings, offsets: int) -> bool:
    return stored(settings) + control(settings) >= offsets


def test_markers_and_aborted_records_only_take_offsets(shop: Settings) -> None:
    producer = KafkaProducer(bootstrap_servers=shop.brokers, transactional_id=f"t-{uuid4()}")
    producer.init_transactions()
    with running(shop, ORDERS):
        ends = (producer.commit_transaction, producer.abort_transaction, producer.commit_transaction)
        for number, end_transaction in enumerate(ends, start=1):
            producer.begin_transaction()
            for key, value in many_orders(10):
                producer.send(shop.topic(ORDERS), key=key, value=value, partition=0)
            producer.flush()
            end_transaction()
            wait_until(partial(accounted, shop, 11 * number), message=f"transaction {number} is not accounted for")
    producer.close()
    assert (stored(shop), control(shop)) == (20, 13)
    [log] = [found for found in log_offsets(shop) if found.topic == shop.topic(ORDERS) and found.partition == 0]
    assert query(shop, "SELECT next_offset FROM sink_offsets WHERE partition = 0") == [(log.end,)]
    assert audit(shop, deep=True).missing == 0


def test_a_position_that_ran_ahead_is_not_a_gap(shop: Settings) -> None:
    """As after an error that kafka-python raises when it has moved the position already."""
    send(shop, ORDERS, many_orders(10), partition=0)
    ahead = threading.Event()

    def run_ahead(label: str) -> None:
        if label == "after commit" and not ahead.is_set():
            send(shop, ORDERS, many_orders(10), partition=0)
            found.consumer.seek(TopicPartition(shop.topic(ORDERS), 0), 15)
            ahead.set()

    with running(shop, ORDERS, checkpoint=run_ahead) as found:
        wait_until(lambda: stored(shop) >= 20, message="the records that were passed over were not read")
    assert (stored(shop), control(shop)) == (20, 0)


def test_a_step_that_was_overtaken_is_read_again(shop: Settings) -> None:
    """In a log from which this instance has stored nothing yet: what it lost would look as if it were gone."""
    send(shop, ORDERS, many_orders(10), partition=0)
    overtaken = threading.Event()

    def overtake(label: str) -> None:
        if label == "after poll" and not overtaken.is_set():
            overtaken.set()
            query(shop, "UPDATE sink_offsets SET next_offset = 5, epoch_offset = 5, stored = 5 WHERE partition = 0")
            send(shop, ORDERS, many_orders(10), partition=0)

    with running(shop, ORDERS, checkpoint=overtake) as found:
        wait_until(lambda: found.errors or stored(shop) == 20, message="it does not go on where the other one was")
    assert rows(shop) == 15


def test_a_step_lost_with_its_connection_is_read_again(shop: Settings) -> None:
    send(shop, ORDERS, many_orders(10), partition=0)
    lost = threading.Event()

    def lose(label: str) -> None:
        if label == "before commit" and not lost.is_set():
            lost.set()
            send(shop, ORDERS, many_orders(10), partition=0)
            raise psycopg2.OperationalError("server closed the connection unexpectedly")

    with running(shop, ORDERS, checkpoint=lose) as found:
        wait_until(lambda: found.errors or stored(shop) == 20, message="what was polled is not read again")
    assert rows(shop) == 20


class Hesitant:
    """Grants nothing the first time, as while it is not known what became of another instance's grant."""

    def __init__(self) -> None:
        self.asked = 0

    def take(self, most: int) -> int:
        self.asked += 1
        return most if self.asked > 1 else 0

    def in_doubt(self) -> None:
        pass


def test_records_that_were_not_granted_are_read_again(shop: Settings) -> None:
    send(shop, ORDERS, many_orders(10), partition=0)
    with running(shop, ORDERS, budget=Hesitant()) as found:
        wait_until(lambda: found.errors or stored(shop) == 10, message="what was polled is not read again")
    assert rows(shop) == 10


@pytest.mark.parametrize("error", [NotLeaderForPartitionError, NoOffsetForPartitionError])
def test_records_that_a_poll_lost_to_an_error_are_read_again(
    shop: Settings, monkeypatch: pytest.MonkeyPatch, error: type[KafkaError]
) -> None:
    """In a log from which nothing is stored yet: what was passed over would look as if it were gone."""
    send(shop, ORDERS, many_orders(10), partition=0)
    poll, lost = KafkaConsumer.poll, threading.Event()

    def lose_once(consumer: KafkaConsumer, **keywords: Any) -> Any:
        found = poll(consumer, **keywords)
        if found and not lost.is_set():
            lost.set()
            raise error
        return found

    monkeypatch.setattr(KafkaConsumer, "poll", lose_once)
    with running(shop, ORDERS) as found:
        wait_until(lambda: found.errors or stored(shop) == 10, message="what was passed over was not read again")
    assert lost.is_set()
    assert (stored(shop), control(shop)) == (10, 0)


@contextmanager
def truncated(shop: Settings, monkeypatch: pytest.MonkeyPatch, first: Callable[[], None]) -> Iterator[Running]:
    """An instance that has stored 20 orders and is told, once, that its log was cut to nothing, after `first`."""
    monkeypatch.setattr(log_gaps, "_AGREE_SECONDS", 0.5)
    cut = threading.Event()
    log = TopicPartition(shop.topic(ORDERS), 0)
    send(shop, ORDERS, many_orders(20), partition=0)
    with running(shop, ORDERS) as found:
        wait_until(lambda: stored(shop) == 20, message="the first are not stored")
        poll = found.consumer.poll

        def poll_cut(**keywords: Any) -> Any:
            if cut.is_set():
                return poll(**keywords)
            cut.set()
            first()
            raise LogTruncationError({log: OffsetAndMetadata(0, "", 0)})

        monkeypatch.setattr(found.consumer, "poll", poll_cut)
        yield found


def test_a_recreated_topic_is_not_a_cut_log(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new log is shorter, which looks alike until the consumer learns of the new topic's id."""

    def create_again() -> None:
        client = clients.admin(shop)
        client.delete_topics([shop.topic(ORDERS)])
        client.close()
        topics.init(shop)  # the other two are there
        send(shop, ORDERS, many_orders(5), partition=0)

    with truncated(shop, monkeypatch, create_again):
        wait_until(lambda: stored(shop) == 25, message="the new topic is not read from its start")
    assert audit(shop, deep=True).missing == 0


def test_a_changed_last_record_stops_and_the_cut_is_remembered(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after brokers lost the end of a log and others wrote it again."""

    def forget() -> None:
        query(shop, "UPDATE sink_offsets SET last_crc = last_crc + 1 WHERE partition = 0")

    verdict = r"stored up to offset 20: offset 19 has another record; .* differs from offset 0 on"
    with (
        pytest.raises(AssertionError, match=verdict),
        truncated(shop, monkeypatch, forget) as found,
    ):
        wait_until(lambda: found.errors, message="it goes on")
    query(shop, "UPDATE sink_offsets SET last_crc = last_crc - 1 WHERE partition = 0")
    with pytest.raises(AssertionError, match=verdict), running(shop, ORDERS) as found:
        wait_until(lambda: found.errors, message="the verdict stands, whatever the log looks like now")
    [cut] = [part.cut_log for part in read_partitions(shop) if part.cut_log]
    assert (cut.next_offset, cut.diverged_at) == (20, 0)


def test_restarted_epochs_pass_while_the_last_record_matches(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a cluster was restored from a copy of its logs."""
    with truncated(shop, monkeypatch, lambda: send(shop, ORDERS, many_orders(5), partition=0)):
        wait_until(lambda: stored(shop) == 25, message="it does not go on")
    assert [part.cut_log for part in read_partitions(shop) if part.cut_log] == []


def expire(shop: Settings, before: int) -> None:
    """Take the records of partition 0 before an offset off the log."""
    client = clients.admin(shop)
    client.delete_records({TopicPartition(shop.topic(ORDERS), 0): before})
    client.close()


def test_an_unknown_epoch_stops_once_the_last_record_expired(shop: Settings) -> None:
    send(shop, ORDERS, many_orders(20), partition=0)
    store_all(shop)
    expire(shop, 20)
    send(shop, ORDERS, many_orders(5), partition=0)
    store_all(shop)
    assert stored(shop) == 25
    expire(shop, 25)
    query(shop, "UPDATE sink_offsets SET leader_epoch = 99 WHERE partition = 0")
    with pytest.raises(AssertionError, match="the brokers know nothing of its leader epoch"), running(shop) as found:
        wait_until(lambda: found.errors, message="it goes on")


def test_diverged_epochs_are_a_cut_once_the_last_record_expired(
    shop: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is no longer there to contradict the brokers."""

    def expire_last() -> None:
        expire(shop, 20)
        send(shop, ORDERS, many_orders(5), partition=0)

    with (
        pytest.raises(AssertionError, match=r"brokers know nothing of its leader epoch; .* differs from offset 0 on"),
        truncated(shop, monkeypatch, expire_last) as found,
    ):
        wait_until(lambda: found.errors or stored(shop) > 20, message="it neither stops nor goes on")
    assert stored(shop) == 20


def test_a_database_that_knows_no_last_record_learns_it(shop: Settings) -> None:
    """As after the upgrade of one that was filled before it was kept."""
    send(shop, ORDERS, many_orders(20), partition=0)
    store_all(shop)
    columns = ("leader_epoch", "last_offset", "last_timestamp", "last_crc")
    read = f"SELECT {', '.join(columns)} FROM sink_offsets WHERE topic LIKE '%%orders' AND partition = 0"
    before = query(shop, read)
    query(shop, f"UPDATE sink_offsets SET {', '.join(f'{name} = NULL' for name in columns)}")
    with running(shop):
        wait_until(lambda: query(shop, read) == before, message="nothing is learnt without new records")
    assert before[0][1] == 19


def rows(settings: Settings) -> int:
    return int(query(settings, "SELECT count(*) FROM orders")[0][0])


def test_a_member_joining_mid_batch_doubles_nothing(shop: Settings) -> None:
    """Without the primary key, which would hide it."""
    query(shop, "ALTER TABLE orders DROP CONSTRAINT orders_pkey")
    send(shop, ORDERS, many_orders(500))
    polled, rebalancing = threading.Event(), threading.Event()

    def hold(label: str) -> None:
        if label == "after poll" and not polled.is_set():
            polled.set()
            assert rebalancing.wait(30)

    with running(shop, ORDERS, checkpoint=hold):
        assert polled.wait(30)
        with running(shop, ORDERS) as second:
            wait_until(lambda: group_state(shop) == "PreparingRebalance", message="nobody else joins")
            rebalancing.set()
            wait_until(
                lambda: second.instance._member.place.assignment.names, message="the second one has no partitions"
            )
            send(shop, ORDERS, many_orders(500))
            wait_until(lambda: stored(shop) >= 1_000, message="not all is stored")
    assert (stored(shop), rows(shop), audit(shop).lag) == (1_000, 1_000, 0)


def group_state(settings: Settings) -> str:
    client = clients.admin(settings)
    try:
        return str(client.describe_groups([settings.kafka_group])[settings.kafka_group]["group_state"])
    finally:
        client.close()


def test_a_commit_whose_answer_is_lost_is_seen_in_the_offset(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the primary key, which would hide a second copy."""
    query(shop, "ALTER TABLE orders DROP CONSTRAINT orders_pkey")
    send(shop, ORDERS, many_orders(500))
    about_to, lost = threading.Event(), threading.Event()
    commit = connections._Connection.commit

    def commit_unheard(connection: Any) -> None:
        commit(connection)
        consumers = connection.info.dsn_parameters["application_name"] == "sesacctl/consume"
        if consumers and about_to.is_set() and not lost.is_set():
            lost.set()
            connection.close()
            raise psycopg2.OperationalError("server closed the connection unexpectedly")

    def watch(label: str) -> None:
        if label == "before commit":
            about_to.set()

    monkeypatch.setattr(connections._Connection, "commit", commit_unheard)
    with running(shop, ORDERS, checkpoint=watch) as found:
        wait_until(lambda: lost.is_set() and stored(shop) >= 500, message="not all is stored")
        wait_until(lambda: found.seen[-1] == ("running", None), message="it does not go on")
    assert (stored(shop), rows(shop), audit(shop).counts.duplicates) == (500, 500, 0)


def test_kafka_is_never_told_more_than_postgresql_has(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads Kafka's offsets, such as a lag tool, must not call stored what is not."""
    monkeypatch.setattr(Timer, "due", lambda _: True)
    commit, told = KafkaConsumer.commit_async, list[tuple[int, int]]()

    def look(consumer: KafkaConsumer, offsets: Any, **options: Any) -> Any:
        has = dict(query(shop, "SELECT partition, next_offset FROM sink_offsets WHERE topic LIKE '%%orders'"))
        told.extend(
            (found.offset, has[tp.partition]) for tp, found in offsets.items() if tp.topic == shop.topic(ORDERS)
        )
        return commit(consumer, offsets, **options)

    def is_told(offset: int) -> bool:
        return any(kafka >= offset for kafka, _ in told)

    monkeypatch.setattr(KafkaConsumer, "commit_async", look)
    with running(shop, ORDERS):
        for number in range(1, 4):
            send(shop, ORDERS, many_orders(10), partition=0)
            wait_until(partial(is_told, 10 * number), message="Kafka is not told")
    assert [(kafka, stored) for kafka, stored in told if kafka > stored] == []


def test_a_parked_order_is_stored_under_load(shop: Settings) -> None:
    """A poll that never comes back empty must not keep parked rows waiting."""
    send(shop, ORDERS, [message(order(1, user_id="u900"))], partition=0)

    def more(label: str) -> None:
        if label == "after poll":
            send(shop, ORDERS, many_orders(1), partition=0)

    with running(shop, checkpoint=more):
        wait_until(lambda: query(shop, "SELECT 1 FROM parked_events"), message="it was not parked")
        send(shop, USERS, [message(user(900))])
        wait_until(lambda: query(shop, "SELECT 1 FROM orders WHERE order_id = 'o1'"), message="it is still parked")


def test_parents_without_lag_needs_both_topics_read_to_the_end(shop: Settings) -> None:
    """Also where this process does not read those topics, or they are not to be found."""
    consumer, connection = clients.consumer(shop, group_instance_id="test"), connect(shop, command="test")
    try:
        sink, parents = Sink(connection, group=shop.kafka_group), [shop.topic(kind) for kind in (USERS, PRODUCTS)]
        wait_until(lambda: parents_without_lag(consumer, sink, parents), message="nothing is in the two topics")
        assert not parents_without_lag(consumer, sink, [*parents, "nowhere"])
        send(shop, USERS, [message(user(901))])
        assert not parents_without_lag(consumer, sink, parents)
    finally:
        consumer.close()
        connection.close()


def test_a_kafka_outage_and_its_end_are_reported(
    shop: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    away = threading.Event()
    is_connected = clients.is_connected
    monkeypatch.setattr(clients, "is_connected", lambda client: not away.is_set() and is_connected(client))
    monkeypatch.setattr(consume, "LOST_SECONDS", 0.1)
    with caplog.at_level("INFO", "sesacctl"), running(shop, ORDERS) as found:
        wait_until(lambda: ("running", None) in found.seen, message="it does not run")
        away.set()
        wait_until(lambda: ("waiting", "Kafka") in found.seen, message="it does not say so")
        away.clear()
        wait_until(lambda: found.seen[-1] == ("running", None), message="it does not say that it is back")
    actions = [getattr(record, "action", None) for record in caplog.records]
    said = [action for action in actions if action in ("consume.waiting", "consume.resumed")]
    assert said == ["consume.waiting", "consume.resumed"]


def test_the_last_report_has_the_lag_of_the_end(shop: Settings) -> None:
    """Reports come once a second: the one before the end may be of a moment when nothing was stored yet."""
    send(shop, ORDERS, many_orders(30))
    lags: list[int] = []
    with running(shop, ORDERS) as found:
        report = found.instance._report

        def note(status: Status) -> None:
            lags.append(status.lag)
            report(status)

        found.instance._report = note
        wait_until(lambda: stored(shop) == 30)
        found.instance._reporting = Timer(3600.0)
        wait_until(lambda: not found.instance._reporting.due())  # the last before the end
        found.instance._status.lag = 726
    assert lags[-1] == 0


def test_a_server_is_reported_back_before_the_log_says_so(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[tuple[str, int]] = []
    status = Status(0)
    with caplog.at_level("INFO"):
        status.wait_for("PostgreSQL", "the database system is starting up")
        status.resume(lambda: seen.append((status.state, len(caplog.records))))
        status.resume(lambda: seen.append(("again", 0)))
    assert seen == [("running", 1)]
    assert caplog.records[-1].getMessage() == "PostgreSQL is back"
