"""Parked orders under running consumers."""

from __future__ import annotations

import json
import threading

from sesacctl.broker import clients
from sesacctl.database.connections import connect
from sesacctl.events import ORDERS, PRODUCTS, USERS
from sesacctl.pipeline.audit.partitions import read_partitions
from sesacctl.pipeline.audit.report import audit
from sesacctl.pipeline.audit.until_empty import UntilEmpty
from sesacctl.pipeline.consume.assignment import Assignment
from sesacctl.pipeline.consume.log_gaps import LogGuard
from sesacctl.pipeline.consume.parked import count_parked, parents_without_lag
from sesacctl.pipeline.consume.reader import Reader
from sesacctl.pipeline.consume.seek import seek_to_stored
from sesacctl.pipeline.repair import reset_offsets
from sesacctl.pipeline.sink.store import Sink
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import check, consuming, store_all, stored
from tests.helpers.events import add_parents, batch, many_orders, message, order, query, send, user
from tests.helpers.topics import make_topics
from tests.helpers.waiting import wait_until


def test_a_busy_consumer_stores_a_parked_order_once_possible(settings: Settings) -> None:
    make_topics(settings)
    add_parents(settings, users=100)
    sent, stop = 2, threading.Event()
    with consuming(settings, instances=1):
        send(settings, ORDERS, [message(order(1, user_id="u900"))], partition=0)
        wait_until(lambda: count_parked(settings) == 1, message="it is parked")
        send(settings, USERS, [message(user(900))])

        def keep_busy() -> None:
            nonlocal sent
            while not stop.is_set():
                send(settings, ORDERS, many_orders(5), partition=0)
                sent += 5

        busy = threading.Thread(target=keep_busy)
        busy.start()
        wait_until(lambda: count_parked(settings) == 0, message="it is stored")
        stop.set()
        busy.join()
        wait_until(lambda: stored(settings) == sent, message="everything is stored")
    check(settings, sent - 1)


def test_until_empty_retries_parked_orders_and_reports_the_rest(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    add_parents(settings)
    send(settings, ORDERS, [message(order(n, user_id="u901" if n == 3 else "u900")) for n in range(1, 6)])
    done = sesacctl("consume", "-n", 2, "--until-empty", "-o", "json")
    assert (done.returncode, json.loads(done.stdout)["totals"]["parked"]) == (0, 5), done.stderr
    assert "5 orders are still parked: their user" in done.stderr
    query(settings, "INSERT INTO users (user_id, name) VALUES ('u900', '홍길동')")
    empty = UntilEmpty(settings)
    assert not empty(), "the logs' ends are reached, and nothing was tried since"
    done = sesacctl("consume", "-n", 2, "--until-empty")
    assert "1 order is still parked: its user" in done.stderr
    assert query(settings, "SELECT count(*) FROM orders") == [(4,)]
    assert empty()


def test_a_dead_letter_that_is_parked_again_is_kept_once(settings: Settings) -> None:
    """After a reset, an order that had waited too long waits again; the storm of an hour found it in both tables."""
    make_topics(settings)
    add_parents(settings)
    send(settings, ORDERS, [message(order(1, user_id="u900")), (b"u1", b"{}"), message(order(2))], partition=0)
    store_all(settings)
    query(settings, "UPDATE parked_events SET parked_at = now() - interval '1 hour'")
    store_all(settings)
    assert kept(settings) == ([], [0, 1])
    reset_offsets.move(settings, reset_offsets.plan(settings, (ORDERS,), "earliest"))
    store_all(settings)
    assert kept(settings) == ([0], [1])
    assert audit(settings, deep=True).ok
    query(settings, "UPDATE parked_events SET parked_at = now() - interval '1 hour'")
    store_all(settings)
    assert kept(settings) == ([], [0, 1])


def test_a_dead_letter_that_is_stored_later_is_one_no_longer(settings: Settings) -> None:
    """Read again after a reset; one of the same position that is another record, or that was discarded, stays."""
    make_topics(settings)
    add_parents(settings)
    late = [message(order(number, user_id="u900")) for number in range(3)]
    send(settings, ORDERS, [*late, (b"u1", b"{}"), message(order(4))], partition=0)
    store_all(settings)
    query(settings, "UPDATE parked_events SET parked_at = now() - interval '1 hour'")
    store_all(settings)
    assert kept(settings) == ([], [0, 1, 2, 3])
    query(settings, "INSERT INTO users (user_id, name) VALUES ('u900', '홍길동')")
    query(settings, """UPDATE dead_letters SET value = 'of a log that was cut' WHERE "offset" = 1""")
    query(settings, """UPDATE dead_letters SET discarded_at = now() WHERE "offset" = 2""")
    for _ in range(2):
        reset_offsets.move(settings, reset_offsets.plan(settings, (ORDERS,), "earliest"))
        store_all(settings)
        assert kept(settings) == ([], [1, 2, 3])
        assert query(settings, "SELECT count(*) FROM orders") == [(4,)]
        found = audit(settings, values=True)
        assert (found.ok, found.counts.dead) == (True, 1)


def kept(settings: Settings) -> tuple[list[int], list[int]]:
    """The offsets of parked events, and of dead letters."""
    tables = ("parked_events", "dead_letters")
    parked, dead = ([at for (at,) in query(settings, f'SELECT "offset" FROM {name} ORDER BY 1')] for name in tables)
    return parked, dead


def test_until_empty_waits_for_each_partition(settings: Settings) -> None:
    make_topics(settings)
    for number in range(3):
        send(settings, ORDERS, many_orders(2), partition=number)
    empty = UntilEmpty(settings)
    logs = [part for part in read_partitions(settings) if part.log_end]
    assert len(logs) == 3
    connection = connect(settings, command="test")
    try:
        sink = Sink(connection, group=settings.kafka_group)
        for part in logs:
            assert not empty()
            sink.begin_partition(part.topic, part.key, 0)
            assert not empty()
            sink.store([batch(many_orders(2), topic_id=part.topic_id, partition=part.partition)])
    finally:
        connection.close()
    wait_until(empty, message="all is there")


def test_nothing_dies_while_users_lag(settings: Settings) -> None:
    make_topics(settings)
    send(settings, USERS, [message(user(1))], partition=0)
    consumer = clients.consumer(settings, group_instance_id="test-0")
    connection = connect(settings, command="test")
    sink = Sink(connection, group=settings.kafka_group)
    kinds = {settings.topic(kind): kind for kind in (ORDERS, USERS, PRODUCTS)}
    try:
        consumer.subscribe(list(kinds))
        parents = [settings.topic(kind) for kind in (USERS, PRODUCTS)]
        reader = Reader(consumer, list(kinds))
        assignment = Assignment(kinds, LogGuard(reader, accept_gap=False))
        wait_until(lambda: not reader.poll(timeout_ms=100).records and consumer.assignment(), message="it is in")
        seek_to_stored(sink, reader, assignment)
        assert not parents_without_lag(consumer, sink, parents)
        topic_id = clients.topic_id(consumer, settings.topic(USERS))
        found = batch([message(user(1))], kind=USERS, topic_id=topic_id, partition=0)
        sink.store([found])
        wait_until(lambda: parents_without_lag(consumer, sink, parents), message="nobody lags")
    finally:
        connection.close()
        consumer.close()
