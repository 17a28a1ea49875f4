"""Parked events: orders whose user or product is not in PostgreSQL yet, tried again until it is."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sesacctl.events import Reason
from sesacctl.pipeline.batch import Counts, Key
from sesacctl.pipeline.failures import Failure
from sesacctl.pipeline.kept_records import (
    KeptRecord,
    adjust_counters,
    lock_offsets,
    save_dead_letters,
    select,
    try_again,
)

_MOST = 1_000


def retry_parked(
    connection: Any,
    *,
    group: str,
    kinds: Mapping[str, str],
    keys: Sequence[Key],
    park_seconds: float,
    parents_without_lag: Callable[[], bool],
) -> Counts:
    """Try the parked events of these partitions once more, in a transaction of its own.

    What is stored leaves `parked_events`. What has waited longer than `park_seconds` becomes a dead letter, but only
    while users and products have no lag. Gives the change of the counters: `parked` goes down.

    Raises:
        psycopg2.Error: nothing was changed.
    """
    if not keys:
        return Counts()
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM parked_events WHERE consumer_group = %s AND (topic_id, partition) IN %s LIMIT 1",
            (group, tuple(keys)),
        )
        if cursor.fetchone() is None:
            return Counts()
    may_die = parents_without_lag()
    with connection, connection.cursor() as cursor:
        lock_offsets(cursor, group, keys)
        where = "consumer_group = %s AND (topic_id, partition) IN %s ORDER BY tried_at NULLS FIRST, id LIMIT %s"
        records = select(cursor, "parked_events", where, (group, tuple(keys), _MOST), lock="FOR UPDATE SKIP LOCKED")
        overdue = _overdue(cursor, records, park_seconds) if may_die else set()
        return _settle(cursor, group, records, try_again(cursor, kinds, records), overdue)


def _overdue(cursor: Any, records: Sequence[KeptRecord], park_seconds: float) -> set[int]:
    cursor.execute(
        "SELECT id FROM parked_events WHERE id = ANY(%s) AND now() - parked_at >= make_interval(secs => %s)",
        ([record.id for record in records], park_seconds),
    )
    return {row[0] for row in cursor.fetchall()}


def _settle(
    cursor: Any, group: str, records: Sequence[KeptRecord], outcome: Mapping[int, Any], overdue: set[int]
) -> Counts:
    total, changes = Counts(), defaultdict[Key, Counts](Counts)
    still, dead = [], []
    for record in records:
        refusal = outcome[record.id]
        name = "stored"
        if refusal is not None and refusal.failure is Failure.DUPLICATE:
            name = "duplicates"
        elif refusal is not None:
            if refusal.failure is Failure.PARK and record.id not in overdue:
                still.append(record.id)
                continue
            if refusal.failure is Failure.PARK:
                refusal.reason, refusal.detail = Reason.ORPHAN, "its user or product never came"
            name = "dead"
            dead.append(refusal)
        for counts in (total, changes[record.source]):
            setattr(counts, name, getattr(counts, name) + 1)
            counts.parked -= 1
    save_dead_letters(cursor, group, dead)
    adjust_counters(cursor, group, changes)
    _forget(cursor, [record.id for record in records], still)
    return total


def _forget(cursor: Any, tried: Sequence[int], still: Sequence[int]) -> None:
    cursor.execute("DELETE FROM parked_events WHERE id = ANY(%s) AND id <> ALL(%s)", (list(tried), list(still)))
    cursor.execute(
        "UPDATE parked_events SET attempts = attempts + 1, tried_at = clock_timestamp() WHERE id = ANY(%s)",
        (list(still),),
    )
