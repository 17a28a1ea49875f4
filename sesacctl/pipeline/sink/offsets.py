"""Every statement on `sink_offsets`: a group's offset in each partition, what tells its log from another, and counters.

Each function works in the caller's transaction; psycopg2's errors pass through.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from psycopg2.extras import execute_values

from sesacctl.database.cursors import fetch_row
from sesacctl.pipeline.sink import forgotten
from sesacctl.pipeline.sink.batch import Batch, LogMark
from sesacctl.pipeline.sink.counts import COUNTERS, Counts, PartitionKey

if TYPE_CHECKING:
    from psycopg2 import extensions

TABLE = "sink_offsets"
STORED_IN_TOPIC = f"(SELECT coalesce(sum(stored), 0)::bigint FROM {TABLE} WHERE topic = %s)"
"""A subquery, for statements that must see rows and counters in one snapshot: what all groups stored from a topic."""

_MARK = ("next_offset", "leader_epoch", "last_offset", "last_timestamp", "last_crc")
_FIGURES = (*COUNTERS, "ahead")
_figures = attrgetter(*_FIGURES)
_ADDED = ", ".join(f"{name} = o.{name} + v.{name}" for name in _FIGURES)
_KEY = "consumer_group, topic_id, partition"
_SAME_KEY = "o.consumer_group = v.consumer_group AND o.topic_id = v.topic_id AND o.partition = v.partition"
_OF_KEYS = "consumer_group = %s AND (topic_id, partition) IN %s"


@dataclass(frozen=True, slots=True)
class StoredPartition:
    """A partition that the group has taken up: its first offset, the mark at its next offset, and the counters."""

    first_offset: int
    mark: LogMark
    counts: Counts


LIMITS = "SET LOCAL lock_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '20s'"
"""Of transactions that others wait for: a stopped process must not hold its locks without end."""


def lock(
    cursor: extensions.cursor, group: str, keys: Sequence[PartitionKey]
) -> tuple[dict[PartitionKey, int], int | None]:
    """Lock the partitions' offsets, in one order for everybody, so that a step and a retry never wait for each other.

    Returns PostgreSQL's next offset of each partition that it knows, and the version of the list of forgotten users,
    which comes with it at no cost. First in every transaction that moves an offset or a counter.
    """
    cursor.execute(
        f"{LIMITS}; SET LOCAL TimeZone = 'UTC';"
        f" SELECT topic_id, partition, next_offset, {forgotten.VERSION} FROM {TABLE}"
        f" WHERE {_OF_KEYS} ORDER BY topic_id, partition FOR NO KEY UPDATE",
        (group, tuple(keys)),
    )
    rows = cursor.fetchall()
    return {row[:2]: row[2] for row in rows}, rows[0][3] if rows else None


def lock_all(cursor: extensions.cursor) -> None:
    """Wait for the transactions that move offsets or counters, and keep others from beginning: of all groups.

    What they wrote is there afterwards, and those that wait see what this transaction does.
    """
    cursor.execute(f"{LIMITS}; LOCK TABLE {TABLE} IN EXCLUSIVE MODE")


def read_marks(cursor: extensions.cursor, group: str, keys: Sequence[PartitionKey]) -> dict[PartitionKey, LogMark]:
    """Next offset of each of these partitions that PostgreSQL knows, and what tells its log from another one."""
    cursor.execute(
        f"SELECT topic_id, partition, {', '.join(_MARK)} FROM {TABLE} WHERE {_OF_KEYS}", (group, tuple(keys))
    )
    return {(row[0], row[1]): LogMark(*row[2:]) for row in cursor.fetchall()}


def read_partitions(cursor: extensions.cursor, group: str) -> dict[PartitionKey, StoredPartition]:
    """Every partition that the group has taken up."""
    columns = ", ".join((*_MARK, *_FIGURES))
    cursor.execute(
        f"SELECT topic_id, partition, first_offset, {columns} FROM {TABLE} WHERE consumer_group = %s", (group,)
    )
    figures = 3 + len(_MARK)
    return {
        (row[0], row[1]): StoredPartition(
            row[2], LogMark(*row[3:figures]), Counts(**dict(zip(_FIGURES, row[figures:], strict=True)))
        )
        for row in cursor.fetchall()
    }


def read_idle_seconds(cursor: extensions.cursor, group: str) -> float | None:
    """Seconds since the group last moved an offset or a counter, by PostgreSQL's clock; None if it never did."""
    cursor.execute(
        f"SELECT extract(epoch FROM now() - max(updated_at))::float8 FROM {TABLE} WHERE consumer_group = %s", (group,)
    )
    seconds: float | None = fetch_row(cursor)[0]
    return seconds


def count_events(cursor: extensions.cursor, group: str, topics: Sequence[str]) -> int:
    """Events of these topics that the group has accounted for: stored, duplicates, dead or parked."""
    cursor.execute(
        f"SELECT coalesce(sum(stored + duplicates + dead + parked), 0)::bigint FROM {TABLE}"
        " WHERE consumer_group = %s AND topic = ANY(%s)",
        (group, list(topics)),
    )
    return int(fetch_row(cursor)[0])


def count_stored(cursor: extensions.cursor, group: str, keys: Sequence[PartitionKey]) -> int:
    """Rows that were stored from these partitions since their counters began."""
    cursor.execute(f"SELECT coalesce(sum(stored), 0)::bigint FROM {TABLE} WHERE {_OF_KEYS}", (group, tuple(keys)))
    return int(fetch_row(cursor)[0])


def begin(cursor: extensions.cursor, group: str, topic: str, key: PartitionKey, offset: int) -> int:
    """Take up a partition seen for the first time at `offset`; returns its next offset, ours or another's."""
    cursor.execute(
        f"INSERT INTO {TABLE} (consumer_group, topic, topic_id, partition, first_offset, next_offset, epoch_offset)"
        f" VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT ({_KEY})"
        " DO UPDATE SET topic = EXCLUDED.topic RETURNING next_offset",
        (group, topic, *key, offset, offset, offset),
    )
    return int(fetch_row(cursor)[0])


def keep_mark(cursor: extensions.cursor, group: str, key: PartitionKey, mark: LogMark) -> None:
    """Keep what tells a log from another, as long as the next offset is the mark's."""
    cursor.execute(
        f"UPDATE {TABLE} SET {', '.join(f'{name} = %s' for name in _MARK[1:])}"
        " WHERE consumer_group = %s AND topic_id = %s AND partition = %s AND next_offset = %s",
        (*astuple(mark)[1:], group, *key, mark.next_offset),
    )


def advance(
    cursor: extensions.cursor, group: str, batches: Sequence[Batch], counts: Mapping[PartitionKey, Counts]
) -> int:
    """Move each batch's partition from the batch's begin to its end, and add what became of its offsets.

    Returns how many were moved: those that still stood where their batch begins.
    """
    execute_values(
        cursor,
        f"UPDATE {TABLE} AS o SET next_offset = v.next_offset, epoch_offset = v.next_offset, {_ADDED},"
        " leader_epoch = coalesce(v.leader_epoch::integer, o.leader_epoch),"
        " last_offset = coalesce(v.last_offset::bigint, o.last_offset),"
        " last_timestamp = coalesce(v.last_timestamp::bigint, o.last_timestamp),"
        " last_crc = coalesce(v.last_crc::bigint, o.last_crc), updated_at = now()"
        f" FROM (VALUES %s) AS v ({_KEY}, seen, {', '.join(_MARK)}, {', '.join(_FIGURES)})"
        f" WHERE {_SAME_KEY} AND o.next_offset = v.seen",
        [(group, *b.key, b.next_offset, *astuple(b.mark), *_figures(counts[b.key])) for b in batches],
        page_size=len(batches),
    )
    return int(cursor.rowcount)


def adjust_counters(cursor: extensions.cursor, group: str, changes: Mapping[PartitionKey, Counts]) -> None:
    """Add changes to the counters, without moving any offset."""
    if changes:
        execute_values(
            cursor,
            f"UPDATE {TABLE} AS o SET {_ADDED}, updated_at = now()"
            f" FROM (VALUES %s) AS v ({_KEY}, {', '.join(_FIGURES)}) WHERE {_SAME_KEY}",
            [(group, *key, *_figures(counts)) for key, counts in changes.items()],
        )


def reset(cursor: extensions.cursor, group: str, starts: Mapping[PartitionKey, tuple[str, int]]) -> None:
    """Begin each partition at an offset, given with its topic's name: the counters are zero, and no mark is known."""
    zero = ", ".join(f"{name} = 0" for name in _FIGURES)
    unknown = ", ".join(f"{name} = NULL" for name in _MARK[1:])
    execute_values(
        cursor,
        f"INSERT INTO {TABLE} (consumer_group, topic, topic_id, partition, first_offset, next_offset, epoch_offset)"
        f" VALUES %s ON CONFLICT ({_KEY}) DO UPDATE SET first_offset = EXCLUDED.first_offset,"
        f" next_offset = EXCLUDED.next_offset, epoch_offset = EXCLUDED.epoch_offset, {unknown}, {zero},"
        " updated_at = now()",
        [(group, topic, *key, offset, offset, offset) for key, (topic, offset) in sorted(starts.items())],
    )
