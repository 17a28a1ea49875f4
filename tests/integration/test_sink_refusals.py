"""Rows that PostgreSQL does not store although it raises nothing, or for reasons of its user's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import psycopg2
import pytest

from sesacctl.broker.kafka_python.consumer_records import Record
from sesacctl.events import CODECS, ORDERS, PRODUCTS, USERS, Event, Kind
from sesacctl.pipeline.consume import parked
from sesacctl.pipeline.sink.counts import Counts
from sesacctl.pipeline.sink.store import Sink
from sesacctl.settings import Settings
from tests.helpers.events import add_parents, batch, many_orders, message, order, product, query, user
from tests.helpers.rig import TOPIC, Killed, Rig


@pytest.fixture
def rig(settings: Settings) -> Iterator[Rig]:
    add_parents(settings, users=100)
    found = Rig(settings)
    yield found
    found.connection.close()


def drop_silently(rig: Rig, table: str, condition: str) -> None:
    """A trigger that drops rows and says nothing."""
    query(
        rig.settings,
        f"CREATE FUNCTION drop_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" IF {condition} THEN RETURN NULL; END IF; RETURN NEW; END $$;"
        f" CREATE TRIGGER silent BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION drop_it()",
    )


def letters(rig: Rig) -> list[tuple[int, str, str]]:
    return query(rig.settings, 'SELECT "offset", reason, detail FROM dead_letters ORDER BY 1')


def test_a_row_silently_dropped_by_a_trigger_is_a_dead_letter(rig: Rig) -> None:
    drop_silently(rig, ORDERS, "NEW.quantity = 7")
    messages = [*many_orders(20), message(order(1, quantity=7)), *many_orders(20), message(order(2, user_id="u900"))]
    assert rig.store(messages) == Counts(stored=40, dead=1, parked=1)
    [(offset, reason, detail)] = letters(rig)
    assert (offset, reason) == (20, "refused")
    assert "a trigger or a rule on orders dropped the row" in detail
    assert rig.count("orders") == 40


def test_a_row_that_a_trigger_drops_from_a_copy_is_a_dead_letter(rig: Rig) -> None:
    """Where nothing else sends the step down the slow path."""
    drop_silently(rig, ORDERS, "NEW.quantity = 7")
    assert rig.store([*many_orders(20), message(order(1, quantity=7)), *many_orders(20)]) == Counts(stored=40, dead=1)
    assert [row[:2] for row in letters(rig)] == [(20, "refused")]
    assert rig.count("orders") == 40


def test_a_trigger_dropping_every_row_loses_nothing(rig: Rig) -> None:
    drop_silently(rig, USERS, "true")
    assert rig.store([message(user(n)) for n in range(500, 520)], kind=USERS) == Counts(dead=20)
    query(rig.settings, "DROP TRIGGER silent ON users")
    assert len(letters(rig)) == 20


@pytest.mark.parametrize(
    ("kind", "column", "event", "other"),
    [
        (PRODUCTS, "name", product(900, name="같은 이름"), product(901, name="같은 이름")),
        (USERS, "name", user(900, name="임꺽정"), user(901, name="임꺽정")),
        (ORDERS, "payment_method", order(1, payment_method="card"), order(2, payment_method="card")),
    ],
    ids=[PRODUCTS, USERS, ORDERS],
)
def test_a_custom_unique_index_causes_a_named_conflict(
    rig: Rig, kind: Kind, column: str, event: Event, other: Event
) -> None:
    query(rig.settings, "DELETE FROM users WHERE user_id <> 'u1'")
    query(rig.settings, f"CREATE UNIQUE INDEX only_one ON {kind} ({column}) WHERE {column} IS NOT NULL")
    assert rig.store([message(event), message(other)], kind=kind) == Counts(stored=1, dead=1)
    [(offset, reason, detail)] = letters(rig)
    assert (offset, reason) == (1, "conflict")
    assert "only_one" in detail
    assert rig.count("parked_events") == 0


def test_the_first_of_two_events_with_one_id_is_stored(rig: Rig) -> None:
    query(rig.settings, "ALTER TABLE orders ADD CONSTRAINT dear CHECK (total_amount < 5000)")
    dear = message(order(9, total_amount=9_000))  # sends the step down the slow path
    first, second = message(order(1, total_amount=100)), message(order(1, total_amount=200))
    assert rig.store([dear, first, second]) == Counts(stored=1, dead=2)
    assert query(rig.settings, "SELECT total_amount FROM orders") == [(100,)]
    assert [row[:2] for row in letters(rig)] == [(0, "refused"), (2, "conflict")]


def test_an_order_read_again_keeps_the_status_it_has_by_now(rig: Rig) -> None:
    """Those who work with the orders move it on; the event knows only the first one."""
    event = message(order(1, status="결제대기"))
    rig.store([event])
    query(rig.settings, "UPDATE orders SET status = '배송완료'")
    assert rig.store([event]) == Counts(duplicates=1)
    assert query(rig.settings, "SELECT status FROM orders") == [("배송완료",)]


def test_an_event_that_crashes_the_decoder_is_a_dead_letter(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    decode = CODECS[ORDERS].decode

    def fail_on_one(key: bytes | None, value: bytes | None, *others: Any) -> object:
        if value and b'"o7"' in value:
            raise ZeroDivisionError("a bug of ours")
        return decode(key, value, *others)

    monkeypatch.setattr(CODECS[ORDERS], "decode", fail_on_one)
    assert rig.store([*many_orders(5), message(order(7)), *many_orders(5)]) == Counts(stored=10, dead=1)
    assert [row[1:] for row in letters(rig)] == [("unreadable", "ZeroDivisionError('a bug of ours')")]


def test_parked_orders_of_removed_partitions_are_retried(rig: Rig) -> None:
    rig.store([message(order(1, user_id="u900"))], partition=8)
    rig.store([message(user(900))], kind=USERS, partition=1)
    assert rig.retry() == Counts()
    assert rig.retry(beyond={ORDERS: 9}) == Counts()
    assert rig.retry(beyond={USERS: 3}) == Counts()
    assert rig.retry(beyond={ORDERS: 3}) == Counts(stored=1, parked=-1)


def test_parked_orders_are_retried_after_a_clock_was_set_back(rig: Rig) -> None:
    rig.store([message(order(n, user_id="u900")) for n in range(3)])
    query(
        rig.settings,
        "UPDATE parked_events SET tried_at = now() + interval '5 hours', parked_at = now() + interval '5 hours'",
    )
    assert rig.retry() == Counts()
    [(attempts, ahead)] = query(
        rig.settings,
        "SELECT sum(attempts), bool_or(greatest(tried_at, parked_at) > clock_timestamp()) FROM parked_events",
    )
    assert (attempts, ahead) == (3, False)
    assert rig.retry(park_seconds=0) == Counts(dead=3, parked=-3)


def test_a_retry_that_is_cut_short_changes_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the last two statements, where a part of it might be there already."""
    rig.store([message(order(1, user_id="u900"))])
    query(rig.settings, "INSERT INTO users (user_id, name) VALUES ('u900', '홍길동')")

    def die(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(parked, "forget", die)
        with pytest.raises(Killed):
            rig.retry()
    assert (rig.count("orders"), rig.count("parked_events")) == (0, 1)
    assert rig.offsets() == (1, Counts(parked=1))
    assert rig.retry() == Counts(stored=1, parked=-1)


def test_rereading_a_parked_record_keeps_its_age_and_attempts(rig: Rig) -> None:
    orphan = message(order(1, user_id="u900"))
    rig.store([orphan])
    query(rig.settings, "UPDATE parked_events SET parked_at = parked_at - interval '9 minutes', attempts = 500")
    before = query(rig.settings, "SELECT parked_at, attempts FROM parked_events")
    query(rig.settings, "UPDATE sink_offsets SET next_offset = 0, epoch_offset = 0, parked = 0")
    assert rig.store([orphan]) == Counts(parked=1)
    assert query(rig.settings, "SELECT parked_at, attempts FROM parked_events") == before


def test_a_dead_letter_keeps_all_headers_of_its_parked_event(rig: Rig) -> None:
    """Also where a name is there twice, or a value is not there at all."""
    found = batch([message(order(1, user_id="u900"))], topic_id=TOPIC)
    [record] = found.records
    assert isinstance(record, Record)
    record.headers = [(b"h", b"1"), (b"h", b"2"), (b"\xff", None), (b"", b"")]
    rig.begin(found)
    rig.sink.store([found])
    kept = [["aA==", "MQ=="], ["aA==", "Mg=="], ["/w==", None], ["", ""]]
    assert query(rig.settings, "SELECT headers FROM parked_events") == [(kept,)]
    assert rig.retry(park_seconds=0) == Counts(dead=1, parked=-1)
    assert query(rig.settings, "SELECT headers, reason FROM dead_letters") == [(kept, "orphan")]


def test_a_copied_clusters_record_is_kept_beside_the_original(rig: Rig) -> None:
    """As after a cluster was copied: same bytes, partition and offset, and another topic id."""
    first, other = (
        batch([(b"u1", b"{}"), message(order(1, user_id="u900"))], topic_id=topic) for topic in (TOPIC, uuid4())
    )
    for found in (first, other):
        rig.begin(found)
        assert rig.sink.store([found]) == {found.key: Counts(dead=1, parked=1)}
    tables = [("dead_letters", 0), ("parked_events", 1)]
    for table, offset in tables:
        kept = query(rig.settings, f'SELECT topic_id, "offset" FROM {table} ORDER BY id')
        assert kept == [(first.topic_id, offset), (other.topic_id, offset)]
    query(rig.settings, "INSERT INTO users (user_id, name) VALUES ('u900', '홍길동')")
    assert rig.retry() == Counts(stored=1, duplicates=1, parked=-2)
    assert query(rig.settings, "SELECT dead, parked, stored + duplicates FROM sink_offsets") == [(1, 0, 1)] * 2


def test_a_consumer_of_the_version_before_is_refused_by_name(rig: Rig) -> None:
    """Its statements, as they stood: it would move offsets without what tells one log from another."""
    rig.store(many_orders(5))
    refused = "written_by_an_older_sesacctl"
    with pytest.raises(psycopg2.errors.CheckViolation, match=refused):
        query(
            rig.settings,
            "UPDATE sink_offsets AS o SET next_offset = v.next_offset, stored = o.stored + v.stored, updated_at = now()"
            " FROM (VALUES (%s, %s::uuid, 0, 5, 9, 4)) AS v"
            " (consumer_group, topic_id, partition, seen, next_offset, stored)"
            " WHERE o.consumer_group = v.consumer_group AND o.topic_id = v.topic_id AND o.partition = v.partition"
            " AND o.next_offset = v.seen",
            rig.group,
            TOPIC,
        )
    with pytest.raises(psycopg2.errors.CheckViolation, match=refused):
        query(
            rig.settings,
            "INSERT INTO sink_offsets (consumer_group, topic, topic_id, partition, first_offset, next_offset)"
            " VALUES (%s, 'orders', gen_random_uuid(), 0, 0, 0)",
            rig.group,
        )
    assert rig.offsets() == (5, Counts(stored=5))


OWN_CONSTRAINTS = {
    "foreign key": ("FOREIGN KEY (brand) REFERENCES brands", "refused", "own_rule"),
    "unique": ("UNIQUE (brand)", "conflict", "own_rule"),
    "exclusion": ("EXCLUDE (brand WITH =)", "refused", "own_rule"),
}


@pytest.mark.parametrize("constraint", OWN_CONSTRAINTS)
@pytest.mark.parametrize("alone", [True, False])
def test_a_product_refused_by_a_custom_constraint_is_not_parked(rig: Rig, constraint: str, alone: bool) -> None:
    definition, reason, name = OWN_CONSTRAINTS[constraint]
    query(rig.settings, "CREATE TABLE brands (brand varchar(100) PRIMARY KEY); INSERT INTO brands VALUES ('good')")
    query(rig.settings, "INSERT INTO products (product_id, name, price, brand) VALUES ('first', 'n', 1, 'bad')")
    query(rig.settings, "DELETE FROM products WHERE product_id = 'first'")
    query(rig.settings, f"ALTER TABLE products ADD CONSTRAINT own_rule {definition}")
    if constraint != "foreign key":
        query(rig.settings, "INSERT INTO products (product_id, name, price, brand) VALUES ('first', 'n', 1, 'bad')")
    others = [] if alone else [message(product(number)) for number in range(700, 710)]
    counts = rig.store([*others, message(product(800, brand="bad"))], kind=PRODUCTS)
    assert counts == Counts(stored=len(others), dead=1)
    [(offset, found, detail)] = letters(rig)
    assert (offset, found) == (len(others), reason)
    assert name in detail


def test_a_taken_user_name_is_a_conflict_naming_the_index(rig: Rig) -> None:
    query(rig.settings, "CREATE UNIQUE INDEX one_name ON users (lower(name)) WHERE name <> '홍길동'")
    messages = [message(user(500, name="Kim")), message(user(501, name="KIM")), message(user(502, name="Lee"))]
    assert rig.store(messages, kind=USERS) == Counts(stored=2, dead=1)
    [(offset, reason, detail)] = letters(rig)
    assert (offset, reason) == (1, "conflict")
    assert "one_name" in detail


def test_after_a_refusal_nothing_is_copied_in_vain(rig: Rig) -> None:
    """COPY undone and done again takes twice the time; a step without a refusal makes the next one try it again."""
    copied: list[str] = []
    sink = Sink(rig.connection, group=rig.group, checkpoint=copied.append)
    key, seen, tries = (uuid4(), 0), 0, []
    sink.begin_partition(ORDERS, key, 0)
    for users in (["u1"], ["u1", "nobody"], ["u1", "nobody"], ["u1"], ["u1"]):
        messages = [message(order(seen + place, user_id=user)) for place, user in enumerate(users)]
        sink.store([batch(messages, topic_id=key[0], seen=seen)])
        seen += len(users)
        tries.append(sum(label == "after copy of orders" for label in copied))
        copied.clear()
    assert (rig.count("orders"), rig.count("parked_events")) == (5, 2)
    assert tries == [1, 0, 0, 0, 1]
