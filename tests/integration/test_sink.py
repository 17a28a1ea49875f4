"""The sink against a real PostgreSQL: rows, refusals and offsets move together or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from random import Random
from typing import Any
from uuid import uuid4

import psycopg2
import pytest

from sesacctl.events import ORDERS, PRODUCTS, USERS, Event, Kind, Row
from sesacctl.pipeline.consume import parked
from sesacctl.pipeline.consume.parked import retry_parked
from sesacctl.pipeline.sink import copy_rows
from sesacctl.pipeline.sink.counts import Counts
from sesacctl.pipeline.sink.decoding import PIECE
from sesacctl.pipeline.sink.store import Fenced, Sink
from sesacctl.settings import Settings
from tests.helpers.events import Message, add_parents, batch, many_orders, message, order, product, query, user
from tests.helpers.rig import TOPIC, Killed, Rig


@pytest.fixture
def rig(settings: Settings) -> Iterator[Rig]:
    add_parents(settings, users=100)
    found = Rig(settings)
    yield found
    found.connection.close()


def test_rows_and_offsets_are_stored_together(rig: Rig) -> None:
    counts = rig.store(many_orders(1_000))
    assert counts == Counts(stored=1_000)
    assert rig.count("orders") == 1_000
    assert rig.offsets() == (1_000, Counts(stored=1_000))


def test_all_three_topics_are_stored_in_one_transaction(rig: Rig) -> None:
    batches = [
        batch([message(order(1, user_id="u900", product_id="p900"))], kind=ORDERS),
        batch([message(user(900))], kind=USERS),
        batch([message(product(900))], kind=PRODUCTS),
    ]
    rig.begin(*batches)
    counts = rig.sink.store(batches)
    assert [counts[found.key].stored for found in batches] == [1, 1, 1]
    assert query(rig.settings, "SELECT count(DISTINCT xmin::text) FROM (SELECT xmin FROM orders UNION ALL "
                 "SELECT xmin FROM users WHERE user_id = 'u900') AS written") == [(1,)]  # fmt: skip


@pytest.mark.parametrize("label", ["after copy of orders", "before commit"])
def test_a_crash_before_commit_stores_the_batch_once_on_retry(rig: Rig, label: str) -> None:
    messages = many_orders(10)
    rig.store([])
    rig.die_at = label
    with pytest.raises(Killed):
        rig.store(messages)
    assert (rig.count("orders"), rig.offsets()[0]) == (0, 0)
    rig.die_at = None
    rig.reconnect()
    assert rig.store(messages) == Counts(stored=10)


def test_a_death_after_commit_is_seen_in_the_offset(rig: Rig) -> None:
    rig.die_at = "after commit"
    with pytest.raises(Killed):
        rig.store(many_orders(10))
    rig.reconnect()
    assert rig.sink.next_offsets([(TOPIC, 0)]) == {(TOPIC, 0): 10}
    assert rig.count("orders") == 10


def test_a_step_from_a_stale_offset_is_fenced(rig: Rig) -> None:
    rig.store(many_orders(5))
    stale = batch(many_orders(5), topic_id=TOPIC, seen=0)
    with pytest.raises(Fenced):
        rig.sink.store([stale])
    assert rig.offsets() == (5, Counts(stored=5))
    assert rig.count("orders") == 5


def test_a_second_owner_of_a_new_partition_takes_it_as_it_is(rig: Rig) -> None:
    """As after both have seen that nobody had it."""
    rig.store(many_orders(5))
    assert rig.sink.begin_partition(ORDERS, (TOPIC, 0), 0) == 5
    assert rig.offsets() == (5, Counts(stored=5))


@pytest.mark.parametrize("by", ["group", "topic id"])
def test_the_same_partition_of_another_stays_where_it_is(rig: Rig, by: str) -> None:
    """Of another group, and of a topic that had the name before."""
    group, topic_id = ("another", TOPIC) if by == "group" else (rig.group, uuid4())
    Sink(rig.connection, group=group).begin_partition(ORDERS, (topic_id, 0), 0)
    assert rig.store([message(order(1, user_id="u900"))]) == Counts(parked=1)
    query(rig.settings, "INSERT INTO users (user_id, name) VALUES ('u900', '홍길동')")
    assert rig.retry() == Counts(stored=1, parked=-1)
    rows = query(rig.settings, "SELECT next_offset, stored, parked FROM sink_offsets ORDER BY 1")
    assert rows == [(0, 0, 0), (1, 1, 0)]


def test_an_unknown_partition_is_fenced(rig: Rig) -> None:
    with pytest.raises(Fenced):
        rig.sink.store([batch(many_orders(1))])


def test_a_repeated_event_is_a_duplicate_unless_its_body_differs(rig: Rig) -> None:
    rig.store([message(order(1))])
    again = [message(order(1)), message(order(1, total_amount=2_000)), message(order(2)), message(order(2))]
    assert rig.store(again) == Counts(stored=1, duplicates=2, dead=1)
    assert query(rig.settings, 'SELECT reason, "offset" FROM dead_letters') == [("conflict", 2)]
    assert rig.count("orders") == 2
    assert rig.offsets()[1].offsets == 5


@pytest.mark.parametrize(
    ("kind", "first", "other"),
    [(USERS, user(900), user(900, name="임꺽정")), (PRODUCTS, product(900), product(900, name="키보드"))],
    ids=[USERS, PRODUCTS],
)
def test_another_body_for_a_user_or_a_product_is_a_dead_letter(
    rig: Rig, kind: Kind, first: Event, other: Event
) -> None:
    assert rig.store([message(first)], kind=kind) == Counts(stored=1)
    assert rig.store([message(first), message(other)], kind=kind) == Counts(duplicates=1, dead=1)
    assert query(rig.settings, "SELECT reason FROM dead_letters") == [("conflict",)]


def test_a_malformed_message_is_kept_whole_and_passed_over(rig: Rig) -> None:
    bad = (b"\x00key\xff", b'{"a": "\xff\x00[/red]\x1b[31m')
    assert rig.store([*many_orders(10), bad, *many_orders(10)]) == Counts(stored=20, dead=1)
    [row] = query(rig.settings, 'SELECT key, value, headers, topic, partition, "offset", reason FROM dead_letters')
    assert (bytes(row[0]), bytes(row[1])) == bad
    assert row[2] == [["aA==", "/w=="], ["aQ==", None]]
    assert row[3:] == ("orders", 0, 10, "invalid_json")


def test_malformed_messages_in_a_row_hide_nothing(rig: Rig) -> None:
    bad: list[Message] = [(b"u1", b"{")] * (2 * PIECE)
    assert rig.store([*many_orders(10), *bad, *many_orders(10)]) == Counts(stored=20, dead=2 * PIECE)
    assert rig.store(bad) == Counts(dead=2 * PIECE)
    assert rig.count("orders") == 20


@pytest.mark.parametrize("place", [0, PIECE + 1, 3 * PIECE])
def test_a_row_refused_in_any_piece_keeps_the_others(rig: Rig, place: int) -> None:
    messages = many_orders(3 * PIECE)
    messages.insert(place, message(order(1, user_id="nobody", total_amount=5)))
    assert rig.store(messages) == Counts(stored=3 * PIECE, parked=1)
    assert rig.count("orders") == 3 * PIECE


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt(), MemoryError()], ids=repr)
def test_what_stops_the_making_of_rows_stops_the_step(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """In the middle of a COPY, where psycopg2 would turn it into an error of PostgreSQL's, which is tried again."""
    rig.store(many_orders(1))
    texts = iter([copy_rows.copy_text])

    def fails(rows: Sequence[Row]) -> str:
        for write in texts:
            return write(rows)
        raise error

    with monkeypatch.context() as patch, pytest.raises(type(error)):
        patch.setattr(copy_rows, "copy_text", fails)
        rig.store(many_orders(3 * PIECE))
    assert rig.offsets() == (1, Counts(stored=1))
    assert rig.store(many_orders(3 * PIECE)) == Counts(stored=3 * PIECE)


def test_rows_that_only_postgresql_refuses_are_isolated(rig: Rig) -> None:
    query(rig.settings, "ALTER TABLE orders ADD CONSTRAINT dear CHECK (total_amount < 5000)")
    dear = [message(order(number, total_amount=9_000)) for number in range(3)]
    again = message(order(7))
    messages = [dear[0], again, *many_orders(500), *dear[1:], again, *many_orders(500)]
    assert rig.store(messages) == Counts(stored=1_001, dead=3, duplicates=1)
    letters = query(rig.settings, 'SELECT "offset", reason, left(detail, 14) FROM dead_letters ORDER BY 1')
    assert letters == [(offset, "refused", "SQLSTATE 23514") for offset in (0, 502, 503)]


def test_a_refused_row_costs_few_statements_among_thousands(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A statement for each would take minutes on a distant server, in one transaction."""
    query(rig.settings, "ALTER TABLE orders ADD CONSTRAINT dear CHECK (total_amount < 5000)")
    cursor = type(rig.connection.cursor())
    execute, statements = cursor.execute, []

    def counting(self: Any, statement: Any, values: Any = None) -> None:
        statements.append(statement)
        execute(self, statement, values)

    monkeypatch.setattr(cursor, "execute", counting)
    messages = [*many_orders(2_000), message(order(1, total_amount=9_000)), *many_orders(2_000)]
    assert rig.store(messages) == Counts(stored=4_000, dead=1)
    assert len(statements) < 150


def test_an_order_before_its_user_is_parked_then_stored(rig: Rig) -> None:
    assert rig.store([message(order(1, user_id="u900")), message(order(2))]) == Counts(stored=1, parked=1)
    assert rig.retry() == Counts()
    rig.store([message(user(900))], kind=USERS, partition=1)
    assert rig.retry() == Counts(stored=1, parked=-1)
    assert (rig.count("orders"), rig.count("parked_events")) == (2, 0)
    rows = query(rig.settings, "SELECT stored, parked FROM sink_offsets WHERE partition = 0")
    assert rows == [(2, 0)]


def test_an_order_whose_user_never_comes_dies_only_without_lag(rig: Rig) -> None:
    rig.store([message(order(1, user_id="u900"))])
    assert rig.retry(park_seconds=0, lag_free=False) == Counts()
    assert rig.count("parked_events") == 1
    assert rig.retry(park_seconds=0) == Counts(dead=1, parked=-1)
    assert query(rig.settings, "SELECT reason, headers FROM dead_letters") == [
        ("orphan", [["aA==", "/w=="], ["aQ==", None]])
    ]
    assert rig.offsets() == (1, Counts(dead=1))


def test_all_parked_orders_are_tried_in_any_number(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parked, "_CHUNK", 7)
    rig.store([message(order(n, user_id="u900")) for n in range(20)])
    assert rig.retry() == Counts()
    assert query(rig.settings, "SELECT DISTINCT attempts FROM parked_events") == [(1,)], "each once, and none twice"
    rig.store([message(user(900))], kind=USERS, partition=1)
    assert rig.retry() == Counts(stored=20, parked=-20)
    assert rig.count("orders") == 20


def test_parked_orders_of_a_recreated_topic_are_still_retried(rig: Rig) -> None:
    rig.store([message(order(1, user_id="u900")), message(order(2, user_id="u901"))])
    again = batch([message(user(900))], kind=USERS)
    rig.begin(again)
    rig.sink.store([again])
    anew = batch(many_orders(1), kind=ORDERS)
    rig.begin(anew)
    rig.sink.store([anew])
    assert anew.topic_id != TOPIC
    assert rig.retry() == Counts(stored=1, parked=-1)
    assert rig.retry(park_seconds=0) == Counts(dead=1, parked=-1)
    query(rig.settings, "DELETE FROM sink_offsets WHERE topic_id <> %s", TOPIC)
    assert rig.offsets() == (2, Counts(stored=1, dead=1)), "the old topic's counters follow"


def test_without_a_primary_key_every_stored_event_is_one_row(rig: Rig) -> None:
    query(rig.settings, "ALTER TABLE orders DROP CONSTRAINT orders_pkey")
    rig.store([*many_orders(20), (None, None), message(order(1, user_id="u900"))])
    assert rig.offsets()[1] == Counts(stored=20, dead=1, parked=1)
    assert rig.count("orders") == 20


def test_a_table_dropped_under_it_stops_and_loses_nothing(rig: Rig) -> None:
    rig.store(many_orders(5))
    query(rig.settings, "ALTER TABLE orders RENAME TO hidden")
    with pytest.raises(psycopg2.Error) as refused:
        rig.store(many_orders(5))
    assert refused.value.pgcode == "42P01"
    query(rig.settings, "ALTER TABLE hidden RENAME TO orders")
    assert rig.offsets() == (5, Counts(stored=5))


def test_control_records_take_offsets_and_are_counted(rig: Rig) -> None:
    found = replace(batch(many_orders(3), topic_id=TOPIC), end=5, skipped=[(3, 4), (4, 9)])
    rig.begin(found)
    rig.sink.store([found])
    assert rig.offsets() == (5, Counts(stored=3, control=2))


def test_an_expired_gap_is_counted(rig: Rig) -> None:
    found = replace(batch([], topic_id=TOPIC), end=7)
    rig.begin(found)
    rig.sink.skip_expired(found)
    assert rig.offsets() == (7, Counts(expired=7))


def test_two_owners_of_the_same_partitions_never_deadlock(rig: Rig) -> None:
    keys = [(TOPIC, partition) for partition in range(4)]
    for key in keys:
        rig.sink.begin_partition(ORDERS, key, 0)
    orphans = [message(order(n, user_id="u900")) for n in range(3)]
    fenced: list[int] = []

    def work(seed: int) -> None:
        random, own = Random(seed), Rig(rig.settings)
        for _ in range(60):
            chosen = random.sample(keys, 3)
            found = own.sink.next_offsets(chosen)
            batches = [
                batch([*many_orders(2), *orphans], topic_id=TOPIC, partition=key[1], seen=found[key]) for key in chosen
            ]
            try:
                own.sink.store(batches)
            except Fenced:
                fenced.append(seed)
            retry_parked(
                own.connection,
                group=own.group,
                kind_of={ORDERS: ORDERS},
                partitions=[(ORDERS, key[1]) for key in random.sample(keys, 4)],
                beyond={},
                park_seconds=600,
                parents_without_lag=lambda: True,
            )
        own.connection.close()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(work, seed) for seed in (1, 2)]:
            done.result()
    assert fenced, "they did get into each other's way"
    [(stored, parked_now, taken)] = query(
        rig.settings, "SELECT sum(stored), sum(parked), sum(next_offset) FROM sink_offsets"
    )
    assert (stored, rig.count("parked_events")) == (rig.count("orders"), parked_now)
    assert stored + parked_now == taken


def test_counts_always_account_for_every_offset() -> None:
    assert Counts(1, 2, 3, 4, 5, 6, unknown_fields=9).offsets == 21
    assert set(asdict(Counts())) == {
        *("stored", "duplicates", "dead", "parked", "expired", "control"),
        *("unknown_fields", "ahead"),
    }
