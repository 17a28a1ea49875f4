"""Kafka into PostgreSQL, exactly once: rows, refusals and offsets move in one transaction."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, tzinfo

from psycopg2 import Error as PostgresError
from psycopg2 import extensions
from psycopg2.errors import FeatureNotSupported

from sesacctl.database import row_security
from sesacctl.pipeline.sink import log_cuts, offsets
from sesacctl.pipeline.sink.batch import WRITE_ORDER, Batch, LogMark, Refusal, tally
from sesacctl.pipeline.sink.copy_rows import copy_rows
from sesacctl.pipeline.sink.counts import Counts, PartitionKey
from sesacctl.pipeline.sink.decoding import Decoding
from sesacctl.pipeline.sink.forgotten import ForgottenUsers
from sesacctl.pipeline.sink.log_cuts import CutLog
from sesacctl.pipeline.sink.measures import Measures
from sesacctl.pipeline.sink.old_letters import OldLetters
from sesacctl.pipeline.sink.retained import save_dead_letters, save_parked
from sesacctl.pipeline.sink.sqlstates import Failure, classify
from sesacctl.pipeline.sink.staging import RAISE_NOW, write_staged


class Fenced(Exception):
    """PostgreSQL's offset of a partition is not the one that this step started from: somebody else moved it."""


class Sink:
    """Stores batches for one consumer group over one connection.

    Every method is one transaction and leaves none open. psycopg2's errors pass through: see `sqlstates.classify`.
    `zone` is that of event times that have none, `measures` is where figures are added. `checkpoint` is called with a
    label between the parts of a step, for fault tests.
    """

    def __init__(
        self,
        connection: extensions.connection,
        *,
        group: str,
        zone: tzinfo = UTC,
        measures: Measures | None = None,
        checkpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._measures = measures or Measures()
        self._connection = connection
        self._group = group
        self._zone = zone
        self._checkpoint = checkpoint
        self._copies = self._expects_all = True
        self._forgotten = ForgottenUsers()
        self._old_letters = OldLetters(group)

    @property
    def connection(self) -> extensions.connection:
        """What it writes over."""
        return self._connection

    def next_offsets(self, keys: Sequence[PartitionKey]) -> dict[PartitionKey, int]:
        """PostgreSQL's next offset of each partition that it knows."""
        return {key: mark.next_offset for key, mark in self.marks(keys).items()}

    def marks(self, keys: Sequence[PartitionKey]) -> dict[PartitionKey, LogMark]:
        """Next offset of each partition that PostgreSQL knows, and what tells its log from another one."""
        if not keys:
            return {}
        self._old_letters.forget(keys)
        with self._connection, self._connection.cursor() as cursor:
            return offsets.read_marks(cursor, self._group, keys)

    def keep_mark(self, key: PartitionKey, mark: LogMark) -> None:
        """Keep what tells a log from another where nothing was stored from it since it is kept."""
        with self._connection, self._connection.cursor() as cursor:
            offsets.keep_mark(cursor, self._group, key, mark)

    def open_cuts(self) -> dict[PartitionKey, CutLog]:
        """The group's verdicts on cut logs that nobody has accepted yet."""
        with self._connection, self._connection.cursor() as cursor:
            return log_cuts.read_open(cursor, self._group)

    def record_cut(self, topic: str, key: PartitionKey, cut: CutLog) -> None:
        """Keep the verdict that a log was cut."""
        with self._connection, self._connection.cursor() as cursor:
            log_cuts.record(cursor, self._group, topic, key, cut)

    def begin_partition(self, topic: str, key: PartitionKey, offset: int) -> int:
        """Take up a partition seen for the first time at `offset`; returns its next offset, ours or another's."""
        with self._connection, self._connection.cursor() as cursor:
            return offsets.begin(cursor, self._group, topic, key, offset)

    def store(
        self, batches: Sequence[Batch], meanwhile: Callable[[], None] = lambda: None
    ) -> dict[PartitionKey, Counts]:
        """Store the batches in one transaction; returns what became of their offsets, for each partition.

        `meanwhile` is called when all is decoded, and PostgreSQL has most of its work before it.

        Raises:
            Fenced: nothing was stored; read `next_offsets` again and seek.
            psycopg2.Error: nothing was stored, or the connection broke during COMMIT and it is not known.
        """
        try:
            with self._connection.cursor() as cursor:
                with self._measures.timed("fence"):
                    self._fence(cursor, batches)
                self._checkpoint("after fence")
                decoding = Decoding(batches, self._zone, self._forgotten.by_id, meanwhile)
                refusals = self._write(cursor, decoding)
                entries, counts = decoding.entries, decoding.counts
                save_dead_letters(
                    cursor, self._group, [r for r in refusals if r.failure in (Failure.DATA, Failure.CONFLICT)]
                )
                save_parked(cursor, self._group, [r for r in refusals if r.failure is Failure.PARK])
                self._old_letters.settle(cursor, batches, entries, refusals)
                tally(counts, refusals)
                self._advance(cursor, batches, counts)
                self._checkpoint("before commit")
            with self._measures.timed("commit"):
                self._connection.commit()
        except BaseException:
            self._old_letters.forget(batch.key for batch in batches)
            if not self._connection.closed:
                self._connection.rollback()
            raise
        self._measures.count_refusals(refusals)
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
        self._measures.expired[batch.topic] += batch.end - batch.next_offset

    def _fence(self, cursor: extensions.cursor, batches: Sequence[Batch]) -> None:
        """Lock the partitions' offsets, and compare them with what this step saw; learn who was forgotten by now."""
        found, version = offsets.lock(cursor, self._group, [batch.key for batch in batches])
        moved = [
            f"{b.topic}-{b.partition}: {b.next_offset} → {found.get(b.key)}"
            for b in batches
            if found.get(b.key) != b.next_offset
        ]
        if moved:
            row_security.require_all(cursor, (offsets.TABLE,))  # hidden offsets would be read again without end
            raise Fenced(", ".join(moved))
        self._forgotten.update(cursor, version)

    def _write(self, cursor: extensions.cursor, decoding: Decoding) -> list[Refusal]:
        """Store the rows that can be stored; refusals for all other records."""
        if self._copies and self._expects_all:
            try:
                if self._copy(cursor, decoding):
                    return decoding.refusals
            except FeatureNotSupported:  # COPY is refused where there are policies; INSERT is not
                self._copies = False
            except PostgresError as error:
                if classify(error) not in (Failure.DATA, Failure.PARK, Failure.CONFLICT, Failure.CODE):
                    raise
            cursor.execute("ROLLBACK TO SAVEPOINT direct")
        entries = decoding.finish()
        self._checkpoint("after going back")
        self._measures.slow_paths += 1
        with self._measures.timed("slow_path"):
            refusals = [refusal for kind in WRITE_ORDER for refusal in write_staged(cursor, kind, entries[kind])]
        self._expects_all = not refusals  # what is refused seldom comes alone: the next COPY would be in vain as well
        return decoding.refusals + refusals

    def _copy(self, cursor: extensions.cursor, decoding: Decoding) -> bool:
        """Whether every row is in its table: without an error it may not be, as a trigger may drop rows."""
        # After the fence: going back to the savepoint gives up the locks that were taken since.
        before = "SAVEPOINT direct; "
        with self._measures.timed("copy"):
            if at_once := len(decoding.kinds) == 1:
                before += f"{RAISE_NOW}; "
            for kind in decoding.kinds:
                pieces = ([entry.row for entry in piece] for piece in decoding.pieces(kind))
                stored = copy_rows(cursor, kind, pieces, before=before)
                if stored != len(decoding.entries[kind]):
                    return False
                self._checkpoint(f"after copy of {kind}")
                before = "" if stored else before
            if not at_once:  # what one kind's rows defer, another's may settle
                cursor.execute(RAISE_NOW)
        return True

    def _advance(
        self, cursor: extensions.cursor, batches: Sequence[Batch], counts: Mapping[PartitionKey, Counts]
    ) -> None:
        if offsets.advance(cursor, self._group, batches, counts) != len(batches):
            raise Fenced("an offset was moved in spite of our lock")
