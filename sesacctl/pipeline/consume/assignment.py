"""The partitions that an instance owns, and how far each is stored. Only its guard asks brokers, of a log in doubt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID

from kafka import TopicPartition

from sesacctl.events import Kind
from sesacctl.pipeline.consume.log_gaps import LogGuard, ReadAgain
from sesacctl.pipeline.consume.owned_log import OwnedLog
from sesacctl.pipeline.consume.reader import Membership, Polled, Position
from sesacctl.pipeline.sink.batch import Batch, LogMark
from sesacctl.pipeline.sink.counts import PartitionKey

if TYPE_CHECKING:
    from sesacctl.broker.kafka_python.consumer_records import Record

T = TypeVar("T")
_UNKNOWN = -1


class Assignment:
    """The partitions of one group member, with PostgreSQL's next offset of each.

    `changed` says that the membership, a topic's id or an offset has changed, or may have: what was polled is to be
    dropped then, and every partition read from PostgreSQL's offset again (`seek_to_stored`).
    """

    def __init__(self, kind_of: Mapping[str, Kind], guard: LogGuard) -> None:
        """`kind_of` has the kind of event for each topic name."""
        self._kind_of = kind_of
        self._guard = guard
        self._owned: dict[TopicPartition, OwnedLog] = {}
        self._uncommitted: set[TopicPartition] = set()
        self._membership: Membership | None = None

    # ---- what is owned

    def mark_changed(self) -> None:
        """Make `changed` return True next time."""
        self._membership = None

    def changed(self, membership: Membership | None) -> bool:
        """Whether what is owned has to be looked up again: it is not what was confirmed, or is not known."""
        return self._membership is None or membership != self._membership

    @property
    def is_confirmed(self) -> bool:
        """Whether what is owned, be it nothing, is what a generation of the group has given us."""
        return self.generation >= 0

    @property
    def generation(self) -> int:
        """The generation of the group that gave us what is owned; -1 while that is not confirmed."""
        return self._membership.generation if self._membership is not None else _UNKNOWN

    def drop(self) -> None:
        """Own nothing."""
        self._owned = {}
        self.mark_changed()

    def take(self, tp: TopicPartition, topic_id: UUID, mark: LogMark, *, is_new: bool) -> OwnedLog:
        """Own a partition from PostgreSQL's offset on. One that `is_new` has nothing before it to look at.

        Raises:
            sesacctl.pipeline.sink.log_cuts.CutFound: the log is not the one that was read.
        """
        if is_new:
            self._guard.note_unreadable((topic_id, tp.partition), mark)
        log = self._owned[tp] = self._guard.owned(tp, self._kind_of[tp.topic], topic_id, mark)
        return log

    def confirm(self, membership: Membership) -> None:
        """All of a membership is taken, and read from PostgreSQL's offsets on."""
        self._uncommitted = set(self._owned)
        self._membership = membership

    @property
    def names(self) -> list[str]:
        """The owned partitions as `topic-partition`."""
        return [owned.name for owned in self._owned.values()]

    @property
    def partitions(self) -> list[TopicPartition]:
        """The owned partitions."""
        return list(self._owned)

    @property
    def next_offsets(self) -> dict[PartitionKey, int]:
        """What PostgreSQL has, by what is known here."""
        return {owned.key: owned.next_offset for owned in self._owned.values()}

    # ---- what is to be stored

    def expired(self, polled: Polled) -> Iterator[Batch]:
        """Batches without records for what has expired unread. Looks at what the brokers refused.

        Raises:
            OffsetGap: records that PostgreSQL does not have are gone.
            sesacctl.pipeline.sink.log_cuts.CutFound: the log ends before PostgreSQL's offset.
        """
        for log, start in self._guard.expired(self._mine(polled.refused)):
            yield self._batch(log, start, [], polled)
        self._guard.note_epochs(self._mine(polled.diverged))

    def _mine(self, found: Mapping[TopicPartition, T]) -> list[tuple[OwnedLog, T]]:
        return [(self._owned[tp], value) for tp, value in found.items() if tp in self._owned]

    def batches(self, polled: Polled) -> list[Batch]:
        """The records of owned partitions from PostgreSQL's offsets on.

        Raises:
            sesacctl.pipeline.sink.log_cuts.CutFound: the log is not the one that was read.
            OffsetGap: records are gone from its middle.
        """
        found = []
        for tp, records in polled.records.items():
            owned = self._owned.get(tp)
            if owned is None:
                self.mark_changed()
                continue
            with self._reading_again():
                if fresh := self._guard.fresh(owned, records):
                    found.append(self._guard.whole(owned, self._batch(owned, fresh[-1].offset + 1, fresh, polled)))
        return found

    def control_batches(self, polled: Polled) -> list[Batch]:
        """Batches without records for transaction markers at the ends of logs, which move the position alone.

        Only of a poll without records: what was polled and is not stored has moved the position, too.

        Raises:
            sesacctl.pipeline.sink.log_cuts.CutFound: the log is not the one that was read.
            OffsetGap: records are gone from its middle.
        """
        found: list[Batch] = []
        for owned, position in self._mine({} if polled.records else polled.positions):
            if position.offset > owned.next_offset:
                with self._reading_again():
                    self._guard.require_recognised(owned, position.offset)
                    found.append(self._guard.whole(owned, self._batch(owned, position.offset, [], polled)))
        return found

    @contextmanager
    def _reading_again(self) -> Iterator[None]:
        """Where a log looks strange because its topic was created again, or the position ran ahead of what was read."""
        try:
            yield
        except ReadAgain:
            self.mark_changed()

    def _batch(self, owned: OwnedLog, end: int, records: list[Record], polled: Polled) -> Batch:
        passed = polled.skipped.within(owned.tp, owned.next_offset, end)
        epoch = polled.positions.get(owned.tp, Position(end, _UNKNOWN)).leader_epoch
        return owned.batch(end, records, skipped=passed, leader_epoch=epoch)

    # ---- what is stored

    def advance(self, batches: Sequence[Batch]) -> None:
        """Note the new offsets of stored batches."""
        for batch in batches:
            tp = TopicPartition(batch.topic, batch.partition)
            self._owned[tp].next_offset = batch.end
            self._uncommitted.add(tp)
            self._guard.forget_epochs(batch.key)  # what was stored has those of the log as it is now

    def take_uncommitted(self) -> dict[TopicPartition, int]:
        """Next offsets that have moved since Kafka was told of them; each once."""
        moved = {tp: self._owned[tp].next_offset for tp in self._uncommitted if tp in self._owned}
        self._uncommitted.clear()
        return moved

    def take_baselines(self) -> list[tuple[PartitionKey, LogMark]]:
        """What was seen right before the offsets of partitions of which PostgreSQL knows no record; each once."""
        marks = ((owned.key, owned.take_baseline()) for owned in self._owned.values())
        return [(key, mark) for key, mark in marks if mark is not None]

    def offsets_match(self, stored: Mapping[PartitionKey, int]) -> bool:
        """Whether PostgreSQL still has the offsets that are here; a restore from a backup keeps connections open."""
        return all(stored.get(key) == offset for key, offset in self.next_offsets.items())

    def lag(self, high_watermarks: Mapping[TopicPartition, int]) -> int:
        """Offsets of owned partitions that are not stored yet, as of the last fetch."""
        return sum(max(0, end - owned.next_offset) for owned, end in self._mine(high_watermarks))

    def require_whole_logs(self, high_watermarks: Mapping[TopicPartition, int]) -> None:
        """Look whether a log ends before PostgreSQL's offset; the brokers are asked only if the last fetch says so.

        Raises:
            sesacctl.pipeline.sink.log_cuts.CutFound: it was cut, and nothing was written to it since.
        """
        self._guard.require_ends([owned for owned, end in self._mine(high_watermarks) if end < owned.next_offset])
