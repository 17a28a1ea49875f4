"""Parked events: orders whose user or product is not in PostgreSQL yet, tried again until it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg2.extras import execute_values

from sesacctl.events import CODECS, ORDERS, Reason
from sesacctl.pipeline.batch import Batch, Counts, Entry, Key
from sesacctl.pipeline.dead_letters import save_dead_letters, unpack_headers
from sesacctl.pipeline.failures import Failure
from sesacctl.pipeline.staging import write_staged

_MOST = 1_000


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as `parked_events` and `dead_letters` keep it, with the attributes of a consumed one."""

    id: int
    offset: int
    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Sequence[tuple[str, bytes | None]] = ()


def retry_parked(
    connection: Any,
    *,
    group: str,
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
    overdue_may_die = parents_without_lag()
    try:
        with connection, connection.cursor() as cursor:
            return _retry(cursor, group, keys, park_seconds if overdue_may_die else None)
    finally:
        if not connection.closed:
            connection.rollback()


def _retry(cursor: Any, group: str, keys: Sequence[Key], park_seconds: float | None) -> Counts:
    # The same lock order as a step: offsets first, sorted.
    cursor.execute(
        "SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '20s';"
        " SET LOCAL TimeZone = 'UTC'; SELECT 1 FROM sink_offsets WHERE consumer_group = %s"
        " AND (topic_id, partition) IN %s ORDER BY topic_id, partition FOR NO KEY UPDATE",
        (group, tuple(keys)),
    )
    cursor.execute(
        'SELECT id, topic, topic_id, partition, "offset", key, value, headers,'
        " coalesce((extract(epoch FROM record_time) * 1000)::bigint, -1),"
        " now() - parked_at >= make_interval(secs => %s) FROM parked_events"
        " WHERE consumer_group = %s AND (topic_id, partition) IN %s"
        " ORDER BY tried_at NULLS FIRST, id LIMIT %s FOR UPDATE SKIP LOCKED",
        (park_seconds if park_seconds is not None else 1e9, group, tuple(keys), _MOST),
    )
    entries, overdue = _entries(cursor.fetchall())
    refusals = write_staged(cursor, ORDERS, entries)
    still = {refusal.record.id for refusal in refusals if refusal.failure is Failure.PARK}
    dead = [r for r in refusals if r.failure not in (Failure.PARK, Failure.DUPLICATE) or r.record.id in still & overdue]
    for refusal in dead:
        if refusal.failure is Failure.PARK:
            refusal.reason, refusal.detail = Reason.ORPHAN, "its user or product never came"
    save_dead_letters(cursor, group, dead)
    still -= {refusal.record.id for refusal in dead}
    _settle(cursor, entries, still)
    return _move_counters(cursor, group, entries, refusals, dead)


def _entries(rows: Sequence[tuple[Any, ...]]) -> tuple[list[Entry], set[int]]:
    entries, overdue = [], set()
    batches: dict[Key, Batch] = {}
    for row_id, topic, topic_id, partition, offset, key, value, headers, timestamp, late in rows:
        record = StoredRecord(row_id, offset, _bytes(key), _bytes(value), timestamp, unpack_headers(headers))
        batch = batches.setdefault((topic_id, partition), Batch(ORDERS, topic, topic_id, partition, 0, 0, ()))
        row, _ = CODECS[ORDERS].decode(record.key, record.value, record.timestamp)
        entries.append(Entry(row, record, batch))
        if late:
            overdue.add(row_id)
    return entries, overdue


def _bytes(value: memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)


def _settle(cursor: Any, entries: Sequence[Entry], still: set[int]) -> None:
    done = [entry.record.id for entry in entries if entry.record.id not in still]
    cursor.execute("DELETE FROM parked_events WHERE id = ANY(%s)", (done,))
    cursor.execute(
        "UPDATE parked_events SET attempts = attempts + 1, tried_at = clock_timestamp() WHERE id = ANY(%s)",
        (list(still),),
    )


def _move_counters(
    cursor: Any, group: str, entries: Sequence[Entry], refusals: Sequence[Any], dead: Sequence[Any]
) -> Counts:
    outcome = {entry.record.id: "stored" for entry in entries}
    outcome |= {r.record.id: "duplicates" if r.failure is Failure.DUPLICATE else "" for r in refusals}
    outcome |= {r.record.id: "dead" for r in dead}
    total, changes = Counts(), {id(entry.batch): (entry.batch, Counts()) for entry in entries}
    for entry in entries:
        name = outcome[entry.record.id]
        if name:
            for counts in (total, changes[id(entry.batch)][1]):
                setattr(counts, name, getattr(counts, name) + 1)
                counts.parked -= 1
    adjust(cursor, group, [(batch.key, counts) for batch, counts in changes.values()])
    return total


def adjust(cursor: Any, group: str, changes: Sequence[tuple[Key, Counts]]) -> None:
    """Add changes to the counters of `sink_offsets`, without moving any offset."""
    if changes:
        execute_values(
            cursor,
            "UPDATE sink_offsets AS o SET stored = o.stored + v.stored, duplicates = o.duplicates + v.duplicates,"
            " dead = o.dead + v.dead, parked = o.parked + v.parked, updated_at = now()"
            " FROM (VALUES %s) AS v (consumer_group, topic_id, partition, stored, duplicates, dead, parked)"
            " WHERE o.consumer_group = v.consumer_group AND o.topic_id = v.topic_id AND o.partition = v.partition",
            [(group, *key, c.stored, c.duplicates, c.dead, c.parked) for key, c in changes],
        )
