"""Parked events: orders whose user or product is not in PostgreSQL yet, tried again until it is."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any

from kafka import TopicPartition

from sesacctl.broker import clients
from sesacctl.database.connections import read_row
from sesacctl.events import PARTITIONS, Kind, Reason
from sesacctl.pipeline.sink import offsets
from sesacctl.pipeline.sink.batch import Refusal
from sesacctl.pipeline.sink.counts import Counter, Counts, PartitionKey
from sesacctl.pipeline.sink.retained import (
    KeptRecord,
    forget,
    move_count,
    save_dead_letters,
    select,
    settle,
    try_again,
)
from sesacctl.pipeline.sink.sqlstates import Failure
from sesacctl.pipeline.sink.store import Sink
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions

    from sesacctl.broker.consumer_like import ConsumerLike

OnSettled = Callable[[str, Counter, Reason | None], None]
_CHUNK = 1_000
SECONDS, LOADED_SECONDS = 0.5, 0.1
"""For so long at most new events wait for parked ones: without a backlog, and with one."""
_OURS = (
    "consumer_group = %s AND ((topic, partition) IN %s OR EXISTS (SELECT FROM"
    " unnest(%s::text[], %s::integer[]) AS log (name, partitions) WHERE name = topic AND partition >= partitions))"
)


def retry_parked(
    connection: extensions.connection,
    *,
    group: str,
    kind_of: Mapping[str, Kind],
    partitions: Sequence[tuple[str, int]],
    beyond: Mapping[str, int],
    park_seconds: float,
    parents_without_lag: Callable[[], bool],
    seconds: float = SECONDS,
    zone: tzinfo = UTC,
    on_settled: OnSettled = lambda *_: None,
) -> Counts:
    """Try the parked events of these partitions once more, the longest untried first, for about so many seconds.

    They are found by the topic's name: they outlive a topic that is deleted and created again under another id. What
    came from partitions that no longer exist is tried, too: `beyond` has topics with their numbers of partitions. What
    is stored leaves `parked_events`. What has waited longer than `park_seconds` becomes a dead letter, but only while
    users and products have no lag. `kind_of` has the kind of event for each topic name, `zone` is that of event times
    that have none. Returns the change of the counters: `parked` goes down. `on_settled` is called after the COMMIT for
    each event that is parked no longer, with its topic, what became of it and why it is dead.

    Raises:
        psycopg2.Error: the transactions before, of a thousand events each, stay done.
    """
    if not partitions:
        return Counts()
    owned = (group, tuple(partitions), list(beyond), list(beyond.values()))
    with connection, connection.cursor() as cursor:
        cursor.execute(
            f"SELECT clock_timestamp(), parked_at <= now() - make_interval(secs => %s) FROM parked_events WHERE {_OURS}"
            " ORDER BY parked_at LIMIT 1",
            (park_seconds, *owned),
        )
        found = cursor.fetchone()
    if found is None:
        return Counts()
    began, any_overdue = found
    may_die = any_overdue and parents_without_lag()
    total, until = Counts(), time.monotonic() + seconds
    while True:
        with connection, connection.cursor() as cursor:
            records, more = _lock_next(cursor, owned, began)
            overdue = _overdue(cursor, records, park_seconds) if may_die else set()
            change, settled = _settle(cursor, group, records, try_again(cursor, kind_of, records, zone), overdue)
            total.add(change)
        for each in settled:
            on_settled(*each)
        if not more or time.monotonic() >= until:
            return total


def parents_without_lag(consumer: ConsumerLike, sink: Sink, parents: Sequence[str]) -> bool:
    """Whether all that is in the topics of users and products is in PostgreSQL; False when that cannot be known now."""
    keys: dict[TopicPartition, PartitionKey] = {}
    for topic in parents:
        topic_id, found = clients.topic_id(consumer, topic), clients.partitions(consumer, topic)
        if topic_id is None or not found:
            return False
        keys |= {tp: (topic_id, tp.partition) for tp in found}
    ends = clients.log_ends(consumer, list(keys))
    known = sink.next_offsets(list(keys.values()))
    return ends is not None and all(known.get(keys[tp], 0) >= end for tp, end in ends.items())


def _lock_next(cursor: extensions.cursor, owned: tuple[Any, ...], before: datetime) -> tuple[list[KeptRecord], bool]:
    """A chunk of what was not tried since `before`, and whether there is more. Clocks may have been set back."""
    cursor.execute(
        f"SELECT id, topic_id, partition FROM parked_events WHERE {_OURS}"
        " AND (coalesce(tried_at, '-infinity') < %s OR tried_at > clock_timestamp())"
        " ORDER BY tried_at NULLS FIRST, id LIMIT %s",
        (*owned, before, _CHUNK),
    )
    found = cursor.fetchall()
    if not found:
        return [], False
    offsets.lock(cursor, owned[0], sorted({(topic_id, partition) for _, topic_id, partition in found}))
    ids = [row[0] for row in found]
    # Again, locked: somebody else may have been quicker with some of them.
    records = select(cursor, "parked_events", "id = ANY(%s) ORDER BY id", (ids,), lock="FOR UPDATE SKIP LOCKED")
    return records, len(found) == _CHUNK


def _overdue(cursor: extensions.cursor, records: Sequence[KeptRecord], park_seconds: float) -> set[int]:
    cursor.execute(
        "SELECT id FROM parked_events WHERE id = ANY(%s) AND now() - parked_at >= make_interval(secs => %s)",
        ([record.id for record in records], park_seconds),
    )
    return {row[0] for row in cursor.fetchall()}


def _settle(
    cursor: extensions.cursor,
    group: str,
    records: Sequence[KeptRecord],
    outcome: Mapping[int, Refusal | None],
    overdue: set[int],
) -> tuple[Counts, list[tuple[str, Counter, Reason | None]]]:
    """The change of the counters, and of each record that is parked no longer its topic, its fate and the reason."""
    changes = defaultdict[PartitionKey, Counts](Counts)
    still: list[int] = []
    settled: list[tuple[str, Counter, Reason | None]] = []
    dead: dict[bool, list[Refusal]] = {True: [], False: []}
    for record in records:
        refusal = outcome[record.id]
        if to := settle(changes, record, "parked", refusal):
            settled.append((record.topic, to, None))
            continue
        assert refusal is not None
        if refusal.failure is Failure.PARK and record.id not in overdue:
            still.append(record.id)
            continue
        if refusal.failure is Failure.PARK:
            refusal.reason, refusal.detail = Reason.ORPHAN, "its user or product never came"
        settled.append((record.topic, "dead", refusal.reason))
        move_count(changes, record, "parked", "dead")
        dead[record.counted].append(refusal)
    for counted, refusals in dead.items():
        save_dead_letters(cursor, group, refusals, counted=counted)
    offsets.adjust_counters(cursor, group, changes)
    _delete_tried(cursor, [record.id for record in records], still)
    total = Counts()
    for change in changes.values():
        total.add(change)
    return total, settled


def _delete_tried(cursor: extensions.cursor, tried: Sequence[int], still: Sequence[int]) -> None:
    forget(cursor, "parked_events", list(set(tried) - set(still)))
    cursor.execute(
        "UPDATE parked_events SET attempts = attempts + 1, tried_at = clock_timestamp(),"
        " parked_at = least(parked_at, clock_timestamp()) WHERE id = ANY(%s)",
        (list(still),),
    )


def count_parked(settings: Settings, kinds: Sequence[Kind] = tuple(PARTITIONS)) -> int:
    """How many events of these kinds are parked by the group.

    Raises:
        ServerUnreachable: PostgreSQL does not answer.
        ServerRefused: PostgreSQL refuses the login or the statement.
        SchemaNotAtHead: its schema is not this version's.
    """
    statement = "SELECT count(*) FROM parked_events WHERE consumer_group = %s AND topic = ANY(%s)"
    values = (settings.kafka_group, [settings.topic(kind) for kind in kinds])
    return int(read_row(settings, statement, values, command="parked")[0])
