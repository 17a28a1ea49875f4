"""Which partitions a consumer owns, and from where: PostgreSQL's offsets, whatever Kafka has committed."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    IllegalStateError,
    KafkaError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
    RetriableError,
    UnknownMemberIdError,
)

from sesacctl.broker import clients
from sesacctl.pipeline import gaps
from sesacctl.pipeline.batch import Batch, Key
from sesacctl.pipeline.sink import Sink

log = logging.getLogger(__name__)

Records = dict[TopicPartition, list[Any]]
# These mean that the group is changing: poll again, and the new generation is noticed.
_POLL_AGAIN = (
    CommitFailedError,
    RebalanceInProgressError,
    IllegalGenerationError,
    UnknownMemberIdError,
    RetriableError,
)


@dataclass(slots=True)
class _Owned:
    kind: str
    topic_id: UUID
    next_offset: int
    sought: int  # where reading began


class Ownership:
    """The partitions of one group member, with PostgreSQL's next offset of each.

    `stale` says that the membership, a topic's id or an offset has changed, or may have: call `take_over` before
    anything is stored. What was polled before that is dropped; it comes again.
    """

    def __init__(self, consumer: Any, kinds: dict[str, str], *, accept_gap: bool) -> None:
        """`kinds` gives the kind of event for each topic name."""
        self._consumer = consumer
        self._kinds = kinds
        self._accept_gap = accept_gap
        self._owned: dict[TopicPartition, _Owned] = {}
        self._untold: set[TopicPartition] = set()
        self._membership: object = None

    def poll(self, sink: Sink, *, timeout_ms: int) -> Records:
        """Raw records by partition; none when the group is changing.

        Raises:
            OffsetGap: records that PostgreSQL does not have are gone; psycopg2.Error, Fenced
        """
        try:
            return self._consumer.poll(timeout_ms=timeout_ms)  # type: ignore[no-any-return]
        except NoOffsetForPartitionError:
            pass  # a new assignment: we seek before the next poll
        except OffsetOutOfRangeError as error:
            if self._is_in_same_topic(error.args[0]):
                self._handle_gap(sink, error.args[0])
        except LogTruncationError as error:
            if self._is_in_same_topic(error.divergent_offsets):
                stored = {tp: owned.next_offset for tp, owned in self._owned.items()}
                gaps.require_no_cut(self._consumer, error.divergent_offsets, stored)
        except _POLL_AGAIN as error:
            log.debug("poll: %s", error, extra={"action": "consume.poll"})
        self.invalidate()  # the position may have passed records that were not handed out
        return {}

    def poll_paused(self, *, timeout_ms: int) -> None:
        """Stay a member of the group, and take nothing."""
        assigned = self._consumer.assignment()
        self._consumer.pause(*assigned)
        for tp in assigned:
            if clients.position(self._consumer, tp) is None:
                self._seek(tp, 0)  # anything but none, which would end every poll at once
        try:
            self._consumer.poll(timeout_ms=timeout_ms)
        except (NoOffsetForPartitionError, OffsetOutOfRangeError, *_POLL_AGAIN) as error:
            log.debug("poll: %s", error, extra={"action": "consume.poll"})
        self.invalidate()

    def invalidate(self) -> None:
        """Have `stale` say so next time."""
        self._membership = None

    def stale(self) -> bool:
        """Whether what is owned has to be looked up again. Reads no server."""
        return self._look() != self._membership

    def _look(self) -> object:
        # A topic that was deleted and created again keeps its name, so that the consumer would just go on in it.
        topic_ids = [clients.topic_id(self._consumer, topic) for topic in self._kinds]
        return self._consumer.group_metadata().generation_id, self._consumer.assignment(), topic_ids

    def take_over(self, sink: Sink) -> None:
        """Seek every assigned partition to PostgreSQL's offset; a new one begins at the start of its log.

        `stale` stays true while Kafka does not say where that is.

        Raises:
            psycopg2.Error
        """
        membership = self._look()
        wanted = {
            tp: topic_id
            for tp in sorted(self._consumer.assignment())
            if (topic_id := clients.topic_id(self._consumer, tp.topic)) is not None
        }
        self._owned = {}
        known = sink.positions([(topic_id, tp.partition) for tp, topic_id in wanted.items()])
        new = [tp for tp, topic_id in wanted.items() if (topic_id, tp.partition) not in known]
        starts = clients.log_starts(self._consumer, new)
        if starts is None:
            return
        for tp, topic_id in wanted.items():
            key = (topic_id, tp.partition)
            offset = known[key] if key in known else sink.begin_partition(tp.topic, key, starts[tp])
            if not self._seek(tp, offset):
                return  # it was taken from us in between: `stale` stays true
            self._owned[tp] = _Owned(self._kinds[tp.topic], topic_id, offset, sought=offset)
        self._consumer.resume(*self._owned)
        self._untold = set(self._owned)
        self._membership = membership
        log.debug("owns %s", self.names, extra={"action": "consume.assigned"})

    def _seek(self, tp: TopicPartition, offset: int) -> bool:
        try:
            self._consumer.seek(tp, offset)
        except (ValueError, IllegalStateError):
            return False
        return True

    @property
    def connected(self) -> bool:
        """Whether any broker can be talked to; asks none."""
        return clients.is_connected(self._consumer)

    @property
    def names(self) -> list[str]:
        """The owned partitions as `topic-partition`."""
        return [f"{tp.topic}-{tp.partition}" for tp in self._owned]

    @property
    def partitions(self) -> list[tuple[str, int]]:
        """The owned partitions by the topic's name, whatever id it had when an event was parked."""
        return [(tp.topic, tp.partition) for tp in self._owned]

    @property
    def keys(self) -> list[Key]:
        """The owned partitions as `sink_offsets` knows them."""
        return [(owned.topic_id, tp.partition) for tp, owned in self._owned.items()]

    @property
    def lag(self) -> int:
        """Offsets of owned partitions that are not stored yet, as of the last fetch; asks no server."""
        return sum(
            max(0, end - owned.next_offset)
            for tp, owned in self._owned.items()
            if (end := clients.highwater(self._consumer, tp)) is not None
        )

    def batches(self, records: Records) -> list[Batch]:
        """The records of owned partitions from PostgreSQL's offsets on."""
        found = []
        for tp, polled in records.items():
            owned = self._owned.get(tp)
            if owned is None or not self._is_next(owned, polled[0].offset):
                self.invalidate()
                continue
            stored_before = polled[0].offset < owned.next_offset
            fresh = [record for record in polled if record.offset >= owned.next_offset] if stored_before else polled
            if fresh:
                found.append(self._batch(tp, owned, fresh[-1].offset + 1, fresh))
        return found

    def control_batches(self) -> list[Batch]:
        """Batches without records for transaction markers at the ends of logs, which move the position alone.

        Only right after a poll without records: what was polled and is not stored has moved the position, too.
        """
        found = []
        for tp, owned in self._owned.items():
            position = clients.position(self._consumer, tp)
            if position is None or position <= owned.next_offset:
                continue
            if self._is_next(owned, position):
                found.append(self._batch(tp, owned, position, []))
            else:
                self.invalidate()
        return found

    @staticmethod
    def _is_next(owned: _Owned, offset: int) -> bool:
        """Whether nothing was passed over: a gap is one of the log's own only where reading began before it."""
        return offset <= owned.next_offset or owned.sought == owned.next_offset

    @staticmethod
    def _batch(tp: TopicPartition, owned: _Owned, end: int, records: list[Any]) -> Batch:
        return Batch(owned.kind, tp.topic, owned.topic_id, tp.partition, owned.next_offset, end, records)

    def moved(self, batches: list[Batch]) -> None:
        """Note the new offsets of stored batches."""
        for batch in batches:
            tp = TopicPartition(batch.topic, batch.partition)
            self._owned[tp].next_offset = batch.end
            self._untold.add(tp)

    def tell_kafka(self, *, wait_ms: int | None = None) -> None:
        """Commit to Kafka the offsets that have moved, for lag tools alone: PostgreSQL's are the truth.

        With `wait_ms` it waits for the answer, otherwise it may be lost.
        """
        offsets = {tp: OffsetAndMetadata(self._owned[tp].next_offset, "", -1) for tp in self._untold & set(self._owned)}
        self._untold.clear()
        if not offsets:
            return
        if wait_ms is None:
            self._consumer.commit_async(offsets, callback=lambda offsets, response: None)
            return
        try:
            self._consumer.commit(offsets, timeout_ms=wait_ms)
        except KafkaError as error:
            log.debug("commit: %s", error, extra={"action": "consume.commit"})

    def agrees(self, sink: Sink) -> bool:
        """Whether PostgreSQL still has the offsets that are here; a restore from a backup keeps connections open."""
        known = sink.positions(self.keys)
        return all(known.get((o.topic_id, tp.partition)) == o.next_offset for tp, o in self._owned.items())

    def _is_in_same_topic(self, partitions: Iterable[TopicPartition]) -> bool:
        return gaps.is_same_topic(
            self._consumer, {tp.topic: self._owned[tp].topic_id for tp in partitions if tp in self._owned}
        )

    def _handle_gap(self, sink: Sink, positions: dict[TopicPartition, int]) -> None:
        """Records below the log's start have expired, or the log was cut: stop, or account for the gap and go on."""
        ours = {tp: offset for tp, offset in positions.items() if tp in self._owned}
        for tp, start in gaps.expired(self._consumer, ours, accept=self._accept_gap).items():
            owned = self._owned[tp]
            sink.skip_expired(self._batch(tp, owned, start, []))
            gap = f"{tp.topic}-{tp.partition}: offsets {owned.next_offset} to {start - 1} have expired"
            log.warning(gap, extra={"action": "consume.gap"})
