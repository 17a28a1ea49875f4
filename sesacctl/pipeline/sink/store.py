"""Kafka into PostgreSQL, exactly once: rows, refusals and offsets move in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from datetime import UTC, tzinfo
from operator import attrgetter
from typing import Any

from psycopg2 import Error as PostgresError
from psycopg2 import extensions
from psycopg2.errors import FeatureNotSupported
from psycopg2.extras import execute_values, register_uuid

from sesacctl.database import row_security
from sesacctl.pipeline.sink import log_cuts
from sesacctl.pipeline.sink.batch import (
    COUNTERS,
    WRITE_ORDER,
    Batch,
    Counts,
    Entry,
    Key,
    LogMark,
    Refusal,
    decode,
    tally,
)
from sesacctl.pipeline.sink.copy_rows import copy_rows
from sesacctl.pipeline.sink.log_cuts import CutLog
from sesacctl.pipeline.sink.retained import lock_offsets, save_dead_letters, save_parked
from sesacctl.pipeline.sink.sqlstates import Failure, classify
from sesacctl.pipeline.sink.staging import RAISE_NOW, write_staged

register_uuid()


class Fenced(Exception):
    """PostgreSQL's offset of a partition is not the one that this step started from: somebody else moved it."""


class Sink:
    """Stores batches for one consumer group over one connection.

    Every method is one transaction and leaves none open. psycopg2's errors pass through: see `sqlstates.classify`.
    `zone` is that of event times that have none. `checkpoint` is called with a label between the parts of a step, for
    fault tests.
    """

    def __init__(
        self,
        connection: extensions.connection,
        *,
        group: str,
        zone: tzinfo = UTC,
        checkpoint: Callable[[str], None] = lambda label: None,
    ) -> None:
        self._connection = connection
        self._group = group
        self._zone = zone
        self._checkpoint = checkpoint
        self._copies = True

    @property
    def connection(self) -> extensions.connection:
        """What it writes over."""
        return self._connection

    def next_offsets(self, keys: Sequence[Key]) -> dict[Key, int]:
        """PostgreSQL's next offset of each partition that it knows."""
        return {key: mark.next_offset for key, mark in self.marks(keys).items()}

    def marks(self, keys: Sequence[Key]) -> dict[Key, LogMark]:
        """Next offset of each partition that PostgreSQL knows, and what tells its log from another one."""
        if not keys:
            return {}
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(
                "SELECT topic_id, partition, next_offset, leader_epoch, last_offset, last_timestamp, last_crc"
                " FROM sink_offsets WHERE consumer_group = %s AND (topic_id, partition) IN %s",
                (self._group, tuple(keys)),
            )
            return {(row[0], row[1]): LogMark(*row[2:]) for row in cursor.fetchall()}

    def keep_mark(self, key: Key, mark: LogMark) -> None:
        """Keep what tells a log from another where nothing was stored from it since it is kept."""
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(
                "UPDATE sink_offsets SET leader_epoch = %s, last_offset = %s, last_timestamp = %s, last_crc = %s"
                " WHERE consumer_group = %s AND topic_id = %s AND partition = %s AND next_offset = %s",
                (*astuple(mark)[1:], self._group, *key, mark.next_offset),
            )

    def open_cuts(self) -> dict[Key, CutLog]:
        """The group's verdicts on cut logs that nobody has accepted yet."""
        with self._connection, self._connection.cursor() as cursor:
            return log_cuts.read_open(cursor, self._group)

    def record_cut(self, topic: str, key: Key, cut: CutLog) -> None:
        """Keep the verdict that a log was cut."""
        with self._connection, self._connection.cursor() as cursor:
            log_cuts.record(cursor, self._group, topic, key, cut)

    def begin_partition(self, topic: str, key: Key, offset: int) -> int:
        """Take up a partition seen for the first time at `offset`; gives its next offset, ours or another's."""
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO sink_offsets (consumer_group, topic, topic_id, partition, first_offset, next_offset,"
                " epoch_offset) VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT (consumer_group, topic_id, partition)"
                " DO UPDATE SET topic = EXCLUDED.topic RETURNING next_offset",
                (self._group, topic, *key, offset, offset, offset),
            )
            return int(cursor.fetchone()[0])

    def store(self, batches: Sequence[Batch]) -> dict[Key, Counts]:
        """Store the batches in one transaction; returns what became of their offsets, for each partition.

        Raises:
            Fenced: nothing was stored; read `next_offsets` again and seek.
            psycopg2.Error: nothing was stored, or the connection broke during COMMIT and it is not known.
        """
        entries, refusals, counts = decode(batches, self._zone)
        try:
            with self._connection.cursor() as cursor:
                self._fence(cursor, batches)
                refusals += self._write(cursor, entries)
                save_dead_letters(
                    cursor, self._group, [r for r in refusals if r.failure in (Failure.DATA, Failure.CONFLICT)]
                )
                save_parked(cursor, self._group, [r for r in refusals if r.failure is Failure.PARK])
                tally(counts, refusals)
                self._advance(cursor, batches, counts)
                self._checkpoint("before commit")
            self._connection.commit()
        except BaseException:
            if not self._connection.closed:
                self._connection.rollback()
            raise
        self._checkpoint("after commit")
        return counts

    def skip_expired(self, batch: Batch) -> None:
        """Move over offsets that are gone from the log, counted as `expired`.

        Raises:
            Fenced: nothing was changed.
            psycopg2.Error: nothing was changed.
        """
        with self._connection, self._connection.cursor() as cursor:
            self._fence(cursor, [batch])
            self._advance(cursor, [batch], {batch.key: Counts(expired=batch.end - batch.next_offset)})

    def _fence(self, cursor: Any, batches: Sequence[Batch]) -> None:
        """Lock the partitions' offsets, and compare them with what this step saw."""
        found = lock_offsets(cursor, self._group, [batch.key for batch in batches])
        moved = [
            f"{b.topic}-{b.partition}: {b.next_offset} → {found.get(b.key)}"
            for b in batches
            if found.get(b.key) != b.next_offset
        ]
        if moved:
            row_security.require_all(cursor, ("sink_offsets",))  # hidden offsets would be read again and again
            raise Fenced(", ".join(moved))

    def _write(self, cursor: Any, entries: dict[str, list[Entry]]) -> list[Refusal]:
        # After the fence: going back to a savepoint gives up the locks that were taken since.
        cursor.execute("SAVEPOINT direct")
        try:
            if self._copies and self._copy(cursor, entries):
                return []
        except FeatureNotSupported:  # COPY is refused where there are policies; INSERT is not
            self._copies = False
        except PostgresError as error:
            if classify(error) not in (Failure.DATA, Failure.PARK, Failure.CONFLICT, Failure.CODE):
                raise
        cursor.execute("ROLLBACK TO SAVEPOINT direct")
        self._checkpoint("after going back")
        return [refusal for kind in WRITE_ORDER for refusal in write_staged(cursor, kind, entries[kind])]

    def _copy(self, cursor: Any, entries: dict[str, list[Entry]]) -> bool:
        """Whether every row is in its table: no error is no success, as a trigger may drop rows."""
        for kind in WRITE_ORDER:
            if copy_rows(cursor, kind, [entry.row for entry in entries[kind]]) != len(entries[kind]):
                return False
            self._checkpoint(f"after copy of {kind}")
        cursor.execute(RAISE_NOW)
        return True

    def _advance(self, cursor: Any, batches: Sequence[Batch], counts: Mapping[Key, Counts]) -> None:
        names = (*COUNTERS, "ahead")
        counters_of = attrgetter(*names)
        counters = ", ".join(f"{name} = o.{name} + v.{name}" for name in names)
        execute_values(
            cursor,
            f"UPDATE sink_offsets AS o SET next_offset = v.next_offset, epoch_offset = v.next_offset, {counters},"
            " leader_epoch = coalesce(v.leader_epoch::integer, o.leader_epoch),"
            " last_offset = coalesce(v.last_offset::bigint, o.last_offset),"
            " last_timestamp = coalesce(v.last_timestamp::bigint, o.last_timestamp),"
            " last_crc = coalesce(v.last_crc::bigint, o.last_crc), updated_at = now()"
            " FROM (VALUES %s) AS v (consumer_group, topic_id, partition, seen,"
            f" next_offset, leader_epoch, last_offset, last_timestamp, last_crc, {', '.join(names)})"
            " WHERE o.consumer_group = v.consumer_group AND o.topic_id = v.topic_id AND o.partition = v.partition"
            " AND o.next_offset = v.seen",
            [(self._group, *b.key, b.next_offset, *astuple(b.mark), *counters_of(counts[b.key])) for b in batches],
            page_size=len(batches),
        )
        if cursor.rowcount != len(batches):
            raise Fenced("an offset was moved in spite of our lock")
