"""Two transactions at once on the same partitions: who waits for whom, and what the one that waited finds then."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from sesacctl.events import ORDERS
from sesacctl.pipeline.audit.row_counts import count_rows
from sesacctl.pipeline.consume import parked
from sesacctl.pipeline.repair import another_try, dead_letters, reset_offsets
from sesacctl.pipeline.repair.dead_letters import Filter, Replayed
from sesacctl.pipeline.repair.reset_offsets import Move
from sesacctl.pipeline.sink.batch import Batch
from sesacctl.pipeline.sink.counts import Counts
from sesacctl.pipeline.sink.retained import try_again
from sesacctl.pipeline.sink.store import Fenced, Sink
from sesacctl.settings import Settings
from tests.helpers.events import Message, add_parents, batch, message, order, query
from tests.helpers.rig import TOPIC, Rig
from tests.helpers.waiting import wait_until

DEAR = message(order(1, total_amount=9_000))
ORPHAN = message(order(1, user_id="u900"))


@pytest.fixture
def rig(settings: Settings) -> Iterator[Rig]:
    """With a rule that refuses dear orders."""
    add_parents(settings, users=100)
    query(settings, "ALTER TABLE orders ADD CONSTRAINT dear CHECK (total_amount < 5000)")
    found = Rig(settings)
    yield found
    found.connection.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as found:
        yield found


def orders(rig: Rig, messages: list[Message], *, seen: int = 0) -> Batch:
    """A batch of partition 0, under the name that `dlq replay` knows."""
    return replace(batch(messages, topic_id=TOPIC, seen=seen), topic=rig.settings.topic(ORDERS))


def keep(rig: Rig, refused: Message) -> None:
    """Have a record refused."""
    found = orders(rig, [refused])
    rig.begin(found)
    rig.sink.store([found])


def read_again(rig: Rig) -> None:
    """What `offsets reset` does."""
    query(rig.settings, "UPDATE sink_offsets SET next_offset = 0, epoch_offset = 0, parked = 0, dead = 0")
    for table in ("dead_letters", "parked_events"):
        query(rig.settings, f"UPDATE {table} SET counted = false")


def retry(rig: Rig) -> Counts:
    """Over a connection of its own."""
    own = Rig(rig.settings)
    try:
        return parked.retry_parked(
            own.connection,
            group=own.group,
            kind_of={own.settings.topic(ORDERS): ORDERS},
            partitions=[(own.settings.topic(ORDERS), 0)],
            beyond={},
            park_seconds=600,
            parents_without_lag=lambda: True,
        )
    finally:
        own.connection.close()


def replay(rig: Rig) -> Replayed:
    return dead_letters.replay(rig.settings, Filter())


def someone_waits(rig: Rig) -> bool:
    """Whether a session waits for another one's lock."""
    waiting = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        " AND cardinality(pg_blocking_pids(pid)) > 0"
    )
    return bool(query(rig.settings, waiting))


class Beside:
    """What somebody else does in the middle of a step; `waited`: whether it came to wait for the step."""

    def __init__(self, rig: Rig, pool: ThreadPoolExecutor, work: Callable[[], Any]) -> None:
        self._rig, self._pool, self._work = rig, pool, work
        self.waited = self.waits_on = False
        self.other: Future[Any] | None = None

    def checkpoint(self, label: str) -> None:
        if label == "after fence" and self.other is None:
            self.start()
        if label == "after going back":
            self.waits_on = someone_waits(self._rig)

    def start(self) -> None:
        other = self.other = self._pool.submit(self._work)
        wait_until(lambda: other.done() or someone_waits(self._rig), message="the other one neither waits nor ends")
        self.waited = not other.done()

    def result(self) -> Any:
        assert self.other is not None
        return self.other.result(60)

    def store(self, messages: list[Message]) -> Counts:
        """The step."""
        found = orders(self._rig, messages)
        sink = Sink(self._rig.connection, group=self._rig.group, checkpoint=self.checkpoint)
        return sink.store([found])[found.key]


def test_a_retry_waits_for_its_partitions_step(rig: Rig, pool: ThreadPoolExecutor) -> None:
    keep(rig, ORPHAN)
    read_again(rig)
    query(rig.settings, "INSERT INTO users (user_id, name) VALUES ('u900', '홍길동')")
    beside = Beside(rig, pool, lambda: retry(rig))
    assert (beside.store([ORPHAN]), beside.waited) == (Counts(stored=1), True)
    assert beside.result() == Counts(), "it finds the row there, and was in no counter any more"
    assert (rig.count("orders"), rig.count("parked_events")) == (1, 0)
    assert rig.offsets() == (1, Counts(stored=1))


def test_a_replay_waits_for_its_partitions_step(rig: Rig, pool: ThreadPoolExecutor) -> None:
    keep(rig, DEAR)
    read_again(rig)
    query(rig.settings, "ALTER TABLE orders DROP CONSTRAINT dear")
    beside = Beside(rig, pool, lambda: replay(rig))
    assert (beside.store([DEAR]), beside.waited) == (Counts(stored=1), True)
    done = beside.result()
    assert (done.tried, done.stored, done.duplicates) == (0, 0, 0)  # the step has taken it off the list
    assert (rig.count("orders"), rig.count("dead_letters")) == (1, 0)
    assert rig.offsets() == (1, Counts(stored=1))


def test_a_reset_waits_for_its_partitions_step(rig: Rig, pool: ThreadPoolExecutor) -> None:
    """Otherwise the rows that the step stores would be in no counter, and seem to come from elsewhere."""
    found = orders(rig, [message(order(1))])
    rig.begin(found)
    move = Move(
        kind=ORDERS,
        topic=found.topic,
        topic_id=TOPIC,
        partition=0,
        before=0,
        after=0,
        given_up=0,
        again=0,
        cut=None,
    )
    beside = Beside(rig, pool, lambda: reset_offsets.move(rig.settings, [move]))
    assert (beside.store([message(order(1))]), beside.waited) == (Counts(stored=1), True)
    beside.result()
    assert rig.offsets() == (0, Counts())
    rows = count_rows(rig.settings)[0][ORDERS]
    assert (rows.rows, rows.expected) == (1, 1)


def leave_rows_alone(rig: Rig) -> None:
    """No offset to lock, as after a hand has deleted them, and no primary key, which would hide a second copy."""
    query(rig.settings, "ALTER TABLE orders DROP CONSTRAINT orders_pkey, DROP CONSTRAINT dear")
    query(rig.settings, "DELETE FROM sink_offsets")


def test_two_retries_at_once_store_an_event_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(rig, ORPHAN)
    leave_rows_alone(rig)
    query(rig.settings, "INSERT INTO users (user_id, name) VALUES ('u900', '홍길동')")
    others = []

    def after_another(*arguments: Any) -> Any:
        monkeypatch.setattr(parked, "try_again", try_again)
        others.append(retry(rig))
        return try_again(*arguments)

    monkeypatch.setattr(parked, "try_again", after_another)
    assert (retry(rig), others) == (Counts(stored=1, parked=-1), [Counts()])
    assert (rig.count("orders"), rig.count("parked_events")) == (1, 0)


def test_two_replays_at_once_store_a_letter_once(
    rig: Rig, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(rig, DEAR)
    leave_rows_alone(rig)
    beside = Beside(rig, pool, lambda: replay(rig))

    def beside_another(*arguments: Any, **options: Any) -> Any:
        monkeypatch.setattr(another_try, "try_again", try_again)
        beside.start()
        return try_again(*arguments, **options)

    monkeypatch.setattr(another_try, "try_again", beside_another)
    first = replay(rig)
    assert (first.stored, beside.waited, beside.result().tried) == (1, True, 0)
    assert (rig.count("orders"), rig.count("dead_letters")) == (1, 0)


def test_a_step_with_a_refused_row_keeps_its_partition_locked(rig: Rig, pool: ThreadPoolExecutor) -> None:
    """Going back to a savepoint gives up the locks that were taken since."""
    messages = [DEAR, message(order(2))]
    rig.begin(orders(rig, messages))
    second = Rig(rig.settings)
    beside = Beside(rig, pool, lambda: second.sink.store([orders(rig, messages)]))
    try:
        assert beside.store(messages) == Counts(stored=1, dead=1)
        assert (beside.waited, beside.waits_on) == (True, True)
        with pytest.raises(Fenced):
            beside.result()
    finally:
        second.connection.close()
    assert rig.offsets() == (2, Counts(stored=1, dead=1))


LIMITS = "SELECT current_setting('lock_timeout'), current_setting('idle_in_transaction_session_timeout')"


def test_what_holds_offsets_waits_and_idles_for_seconds_only(rig: Rig) -> None:
    """An instance that is stopped in a step must not hold its partitions for ever, nor wait so long for another one."""
    found: list[tuple[str, ...]] = []

    def look(label: str) -> None:
        if label == "before commit":
            with rig.connection.cursor() as cursor:
                cursor.execute(LIMITS)
                found.extend(cursor.fetchall())

    messages = [message(order(2))]
    rig.begin(orders(rig, messages))
    Sink(rig.connection, group=rig.group, checkpoint=look).store([orders(rig, messages)])
    assert found == [("10s", "20s")]
    with rig.connection.cursor() as cursor:
        cursor.execute(LIMITS)
        assert cursor.fetchone() == ("0", "0"), "no more than the step's own"


def naive(number: int, **values: Any) -> Message:
    """An order with a time that names no zone."""
    key, value = message(order(number, **values))
    assert value is not None
    document = json.loads(value)
    document["order"]["created_at"] = "2026-11-22T20:00:00"
    return key, json.dumps(document).encode()


def test_naive_times_are_utc_whatever_the_servers_time_zone(rig: Rig) -> None:
    """In a step, in one with a refused row, in a retry and in a replay."""
    query(rig.settings, f"ALTER DATABASE {rig.settings.postgres_db} SET timezone TO 'Asia/Seoul'")
    rig.reconnect()
    rig.begin(orders(rig, []))
    rig.sink.store([orders(rig, [naive(1)])])
    rig.sink.store([orders(rig, [naive(2), naive(3, user_id="u900"), naive(4, total_amount=9_000)], seen=1)])
    query(rig.settings, "INSERT INTO users (user_id, name) VALUES ('u900', '홍길동')")
    assert retry(rig) == Counts(stored=1, parked=-1)
    query(rig.settings, "ALTER TABLE orders DROP CONSTRAINT dear")
    assert replay(rig).stored == 1
    assert query(rig.settings, "SHOW timezone") == [("Asia/Seoul",)]
    times = query(rig.settings, "SELECT order_id FROM orders WHERE created_at = '2026-11-22T20:00:00Z' ORDER BY 1")
    assert times == [("o1",), ("o2",), ("o3",), ("o4",)]
