"""The counters are right after any sequence of what moves them: steps, retries, replays, and offsets moved by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from sesacctl.events import ORDERS, PARTITIONS, USERS, Kind
from sesacctl.pipeline.consume.parked import retry_parked
from sesacctl.pipeline.repair import dead_letters, reset_offsets
from sesacctl.pipeline.repair.dead_letters import Filter
from sesacctl.pipeline.repair.reset_offsets import Move
from sesacctl.pipeline.sink.counts import COUNTERS
from sesacctl.settings import Settings
from tests.helpers.events import Message, add_parents, batch, message, order, query, user
from tests.helpers.rig import TOPIC, Rig

STEPS = 40
EVENTS = 12


@pytest.fixture
def rig(settings: Settings) -> Iterator[Rig]:
    add_parents(settings, users=3)
    query(settings, "ALTER TABLE orders ADD CONSTRAINT dear CHECK (total_amount < 5000)")
    found = Rig(settings)
    yield found
    found.connection.close()


class Logs:
    """Two partitions of orders and one of users that can be read again from any offset."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.records: dict[tuple[Kind, int], list[Message]] = {(ORDERS, 0): [], (ORDERS, 1): [], (USERS, 0): []}

    def write(self) -> None:
        for (kind, _), log in self.records.items():
            log += [self._orders() if kind == ORDERS else message(user(self.random.randrange(4, 9))) for _ in range(3)]

    def _orders(self) -> Message:
        number, who = self.random.randrange(EVENTS * 4), self.random.randrange(1, 9)
        amount = self.random.choice([100, 100, 100, 200, 9_000])
        return self.random.choice(
            [message(order(number, user_id=f"u{who}", total_amount=amount))] * 6 + [(b"u1", b"{}"), (b"u1", None)]
        )


def step(rig: Rig, logs: Logs, random: Random) -> None:
    batches = []
    for (kind, partition), log in logs.records.items():
        key = (TOPIC, partition + 10 * (kind == USERS))
        seen = rig.sink.next_offsets([key]).get(key)
        if seen is None:
            seen = rig.sink.begin_partition(f"{rig.settings.kafka_topic_prefix}{kind}", key, 0)
        found = log[seen : seen + random.randrange(6)]
        one = batch(found, kind=kind, topic_id=TOPIC, partition=key[1], seen=seen)
        batches.append(replace(one, topic=f"{rig.settings.kafka_topic_prefix}{kind}"))
    rig.sink.store(batches)


def reset(rig: Rig, random: Random) -> None:
    rows = query(rig.settings, "SELECT topic, topic_id, partition, next_offset FROM sink_offsets")
    moves = [
        Move(
            kind=ORDERS if partition < 10 else USERS,
            topic=topic,
            topic_id=topic_id,
            partition=partition,
            before=before,
            after=random.randrange(before + 1),
            given_up=0,
            again=0,
            cut=None,
        )
        for topic, topic_id, partition, before in random.sample(rows, random.randrange(len(rows) + 1))
    ]
    reset_offsets.move(rig.settings, moves)


def act(rig: Rig, logs: Logs, random: Random) -> str:
    actions: dict[str, Any] = {
        "write": logs.write,
        "step": lambda: step(rig, logs, random),
        "retry": lambda: retry(rig, 600),
        "retry, and let die": lambda: retry(rig, 0),
        "replay": lambda: dead_letters.replay(rig.settings, Filter()),
        "replay some": lambda: dead_letters.replay(rig.settings, Filter(reason=random.choice(["refused", "orphan"]))),
        "discard": lambda: dead_letters.discard(rig.settings, Filter(reason="conflict")),
        "reset": lambda: reset(rig, random),
        "a user comes": lambda: query(
            rig.settings,
            f"INSERT INTO users (user_id, name) VALUES ('u{random.randrange(4, 9)}', 'x') ON CONFLICT DO NOTHING",
        ),
        "a rule goes": lambda: query(rig.settings, "ALTER TABLE orders DROP CONSTRAINT IF EXISTS dear"),
    }
    name = random.choices(list(actions), [4, 6, 2, 1, 1, 1, 1, 1, 1, 0.2])[0]
    actions[name]()
    return name


def retry(rig: Rig, park_seconds: float) -> None:
    topics = {f"{rig.settings.kafka_topic_prefix}{kind}": kind for kind in PARTITIONS}
    retry_parked(
        rig.connection,
        group=rig.group,
        kind_of=topics,
        partitions=[(topic, number) for topic in topics for number in range(20)],
        beyond={},
        park_seconds=park_seconds,
        parents_without_lag=lambda: True,
    )


def check(rig: Rig, what: list[str]) -> None:
    kept = (
        f"(SELECT count(*) FROM {table} k WHERE k.topic_id = o.topic_id AND k.partition = o.partition AND counted)"
        for table in ("dead_letters", "parked_events")
    )
    rows = query(
        rig.settings, f"SELECT next_offset - first_offset, {', '.join(kept)}, {', '.join(COUNTERS)} FROM sink_offsets o"
    )
    for taken, dead, parked, *counts in rows:
        named = dict(zip(COUNTERS, counts, strict=True))
        assert sum(counts) == taken, (what, named)
        assert min(counts) >= 0, (what, named)
        assert (dead, parked) == (named["dead"], named["parked"]), (what, named)
    [(surplus,)] = query(
        rig.settings,
        "SELECT (SELECT count(*) FROM orders) - (SELECT sum(stored) FROM sink_offsets WHERE partition < 10)"
        " - (SELECT coalesce(sum(change), 0) FROM row_changes WHERE table_name = 'orders')",
    )
    assert surplus >= 0, (what, "what was stored is a row")


@pytest.mark.parametrize("seed", range(6))
def test_the_counters_are_right_after_any_sequence(rig: Rig, seed: int) -> None:
    random = Random(seed)
    logs, what = Logs(random), [str(seed)]
    logs.write()
    step(rig, logs, random)
    for _ in range(STEPS):
        what.append(act(rig, logs, random))
        check(rig, what)
