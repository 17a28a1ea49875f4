"""`trace` of orders in every state, against the real servers."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, TopicPartition

from sesacctl.broker.sender import partition_of
from sesacctl.errors import UsageError
from sesacctl.events import ORDERS, USERS, Kind, uuid7
from sesacctl.pipeline.produce.ledger import Ledger
from sesacctl.pipeline.repair import reset_offsets
from sesacctl.pipeline.trace.timeline import Trace, Verdict
from sesacctl.pipeline.trace.trace import trace_event, trace_position
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import store_all
from tests.helpers.events import AT, add_parents, many_orders, message, order, query, send, user
from tests.helpers.topics import make_topics

YEAR = timedelta(days=3650)


@pytest.fixture
def shop(settings: Settings) -> Settings:
    """Topics, ten users and a product."""
    make_topics(settings)
    add_parents(settings, users=10)
    return settings


def traced(settings: Settings, number: int, **more: Any) -> Trace:
    """The order `o<number>`; all of the log is read, as the ids of these tests have no time."""
    return trace_event(settings, ORDERS, f"o{number}", since=AT - YEAR, **more)


def stages(trace: Trace) -> list[str]:
    return [hop.stage for hop in trace.hops]


def expire(settings: Settings, partition: int, before: int) -> None:
    """Have the log begin at an offset."""
    admin = KafkaAdminClient(bootstrap_servers=settings.brokers)
    try:
        admin.delete_records({TopicPartition(settings.topic(ORDERS), partition): before})
    finally:
        admin.close()


def test_a_stored_order_is_found_without_its_offset(shop: Settings, sesacctl: Cli) -> None:
    send(shop, ORDERS, many_orders(200, users=10))
    wanted = uuid7()
    send(shop, ORDERS, [message(order(user_id="u7", order_id=wanted))])
    send(shop, ORDERS, many_orders(200, users=10))
    store_all(shop)
    done = sesacctl("trace", wanted, "-o", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["verdict"], found["id"]) == ("stored", wanted)
    assert [hop["stage"] for hop in found["hops"]] == ["in Kafka", "row"]
    partition = partition_of(b"u7", 9)
    assert found["hops"][0]["where"].startswith(f"{shop.topic(ORDERS)}-{partition}@")
    assert found["searched"]["partitions"] == [partition]  # PostgreSQL knows whose it is
    [(written,)] = query(shop, "SELECT xmin::text FROM orders WHERE order_id = %s", wanted)
    assert f"transaction {written}" in found["hops"][1]["detail"]
    at = sesacctl("trace", "--at", found["hops"][0]["where"], "-o", "json")
    assert (at.returncode, json.loads(at.stdout)["verdict"]) == (0, "stored")


def test_a_repeated_order_is_a_duplicate_of_its_first(shop: Settings) -> None:
    send(shop, ORDERS, [message(order(1)), message(order(2)), message(order(1))], partition=4)
    store_all(shop)
    trace = traced(shop, 1)
    assert (trace.verdict, stages(trace)) == (Verdict.STORED, ["in Kafka", "in Kafka again", "row"])
    topic = shop.topic(ORDERS)
    assert f"a duplicate of {topic}-4@0" in trace.hops[1].detail
    assert trace_position(shop, "orders", 4, 2).verdict is Verdict.DUPLICATE
    assert trace_position(shop, topic, 4, 0).verdict is Verdict.STORED


def test_parked_dead_and_discarded_orders_say_what_to_run(shop: Settings, sesacctl: Cli) -> None:
    send(shop, ORDERS, [message(order(1, user_id="u900")), message(order(2, quantity=0))], partition=2)
    store_all(shop)
    parked = traced(shop, 1)
    assert (parked.verdict, parked.next_command) == (Verdict.PARKED, None)
    assert "u900" in parked.hops[1].detail
    dead = traced(shop, 2)
    [(number,)] = query(shop, "SELECT id FROM dead_letters")
    assert (dead.verdict, dead.next_command) == (Verdict.DEAD_LETTER, f"sesacctl dlq show {number}")
    assert trace_position(shop, "orders", 2, 1).verdict is Verdict.DEAD_LETTER
    assert sesacctl("dlq", "discard", "--all", "--yes").returncode == 0
    assert stages(traced(shop, 2)) == ["in Kafka", f"dead letter {number}", "discarded"]
    done = sesacctl("trace", "o2", "--since", "9000h")
    assert (done.returncode, "discarded" in done.stdout) == (0, True), done.stderr


def test_an_id_in_escapes_is_found_in_kafka_and_among_kept(shop: Settings) -> None:
    key, value = message(order(1, quantity=0))
    assert value is not None
    send(shop, ORDERS, [(key, value.replace(b'"o1"', b'"\\u006f1"'))], partition=0)
    store_all(shop)
    assert stages(traced(shop, 1)) == ["in Kafka", "dead letter 1"]


def test_an_order_that_waits_says_how_many_are_before_it(shop: Settings) -> None:
    send(shop, ORDERS, [message(order(n)) for n in range(1, 4)], partition=1)
    assert "2 offsets are before it" in traced(shop, 3).sentence
    assert traced(shop, 1).verdict is Verdict.WAITING
    store_all(shop)
    assert traced(shop, 3).verdict is Verdict.STORED
    reset_offsets.move(shop, reset_offsets.plan(shop, (ORDERS,), "earliest"))
    assert "its row is there already" in traced(shop, 3).hops[0].detail


def test_a_skipped_order_and_a_deleted_row_are_told_apart(shop: Settings, sesacctl: Cli) -> None:
    send(shop, ORDERS, [message(order(1))], partition=1)
    reset_offsets.move(shop, reset_offsets.plan(shop, (ORDERS,), "latest"))
    send(shop, ORDERS, [message(order(2))], partition=1)
    store_all(shop)
    assert traced(shop, 1).verdict is Verdict.SKIPPED
    query(shop, "DELETE FROM orders")
    assert traced(shop, 2).verdict is Verdict.MISSING
    done = sesacctl("trace", "o2", "--since", "9000h", "-o", "json")
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (5, "missing")
    assert "sesacctl audit --deep" in done.stderr


def test_without_a_primary_key_a_doubled_order_is_told(shop: Settings) -> None:
    send(shop, ORDERS, [message(order(1))], partition=1)
    store_all(shop)
    query(shop, "ALTER TABLE orders DROP CONSTRAINT orders_pkey")
    query(shop, "INSERT INTO orders SELECT * FROM orders")
    assert traced(shop, 1).verdict is Verdict.DOUBLED


def test_expired_positions_say_only_what_is_known(shop: Settings) -> None:
    send(shop, ORDERS, [message(order(1)), message(order(2))], partition=3)
    store_all(shop)
    send(shop, ORDERS, [message(order(3))], partition=3)
    expire(shop, 3, before=-1)
    consumed = trace_position(shop, "orders", 3, 1)
    assert (consumed.verdict, consumed.is_bad, consumed.hops) == (Verdict.CONSUMED, False, [])
    assert trace_position(shop, "orders", 3, 2).verdict is Verdict.EXPIRED
    assert trace_position(shop, "orders", 3, 3).verdict is Verdict.NO_RECORD
    assert traced(shop, 2).verdict is Verdict.STORED
    assert traced(shop, 3).verdict is Verdict.NOWHERE


def test_a_dead_letter_outlives_its_record(shop: Settings) -> None:
    send(shop, ORDERS, [(b"u1", b"{}")], partition=3)
    store_all(shop)
    assert trace_position(shop, "orders", 3, 0).id is None
    expire(shop, 3, before=-1)
    assert trace_position(shop, "orders", 3, 0).verdict is Verdict.DEAD_LETTER


def test_ledgers_tell_what_was_sent_and_acknowledged(shop: Settings, tmp_path: Path, sesacctl: Cli) -> None:
    path = tmp_path / "ledger"
    ledger = Ledger(path)
    ledger.intend(ORDERS, ["o1", "o2", "o3"])
    ledger.acknowledge(ORDERS, ["o1", "o3"])
    ledger.close()
    send(shop, ORDERS, [message(order(1))], partition=5)
    store_all(shop)
    assert stages(traced(shop, 1, ledgers=[path])) == ["intended", "acknowledged", "in Kafka", "row"]
    assert "Kafka did not acknowledge it" in traced(shop, 2, ledgers=[path]).sentence
    lost = traced(shop, 3, ledgers=[path])
    assert (lost.verdict, lost.sentence[:21]) == (Verdict.NOWHERE, "Kafka acknowledged it")
    assert "no ledger has it" in traced(shop, 4, ledgers=[path]).sentence
    done = sesacctl("trace", "o4", "--ledger", str(path))
    assert done.returncode == 5
    assert "its producer never sent it" in done.stdout
    assert "with a longer --since" in done.stderr


def test_what_expired_unstored_may_be_what_is_missed(shop: Settings, tmp_path: Path, sesacctl: Cli) -> None:
    wanted = uuid7()
    path = tmp_path / "ledger"
    ledger = Ledger(path)
    ledger.intend(ORDERS, [wanted])
    ledger.acknowledge(ORDERS, [wanted])
    ledger.close()
    send(shop, ORDERS, [message(order(1))], partition=5)
    store_all(shop)
    send(shop, ORDERS, [message(order(order_id=wanted))], partition=5)
    expire(shop, 5, before=2)
    send(shop, ORDERS, [message(order(2))], partition=5)
    done = sesacctl("consume", "-n", 1, "--until-empty", "--accept-gap")
    assert done.returncode == 0, done.stderr
    trace = trace_event(shop, ORDERS, wanted, ledgers=[path])
    assert trace.verdict is Verdict.EXPIRED
    assert "1 offsets there expired" in trace.sentence
    assert trace.searched is not None
    assert trace.searched.beginning_gone == [5]


def test_users_are_traced_by_position(shop: Settings) -> None:
    send(shop, USERS, [message(user(70))], partition=0)
    store_all(shop)
    trace = trace_position(shop, "users", 0, 0)
    assert (trace.kind, trace.id, trace.verdict) == (Kind.USERS, "u70", Verdict.STORED)


def test_the_time_in_an_id_bounds_what_is_read(shop: Settings) -> None:
    old = int((datetime.now(UTC) - timedelta(days=2)).timestamp() * 1000)
    send(shop, ORDERS, many_orders(50, users=1), timestamp_ms=old)
    send(shop, ORDERS, [message(order(order_id=(wanted := uuid7())))])
    trace = trace_event(shop, ORDERS, wanted)
    assert trace.searched is not None
    assert (trace.verdict, trace.searched.read) == (Verdict.WAITING, 1)


@pytest.mark.parametrize("place", ["orders-9@0", "nothing-0@0", "orders", "orders-1@x"])
def test_a_position_that_is_none_is_refused(shop: Settings, sesacctl: Cli, place: str) -> None:
    done = sesacctl("trace", "--at", place)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False), shop
    assert "sesacctl topics describe" in done.stderr


def test_an_id_and_a_position_together_are_refused(shop: Settings, sesacctl: Cli) -> None:
    assert sesacctl("trace").returncode == sesacctl("trace", "o1", "--at", "orders-0@0").returncode == 2
    assert sesacctl("trace", "--at", "orders-0@0", "--since", "1h").returncode == 2
    with pytest.raises(UsageError):
        trace_position(shop, "orders", 10, 0)
