"""Which partitions a consumer owns, and from where: PostgreSQL's offsets, whatever Kafka has committed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    KafkaError,
    LogTruncationError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
    RetriableError,
    UnknownMemberIdError,
)

from sesacctl.broker import clients
from sesacctl.broker.kafka_python.consumer_records import skipped
from sesacctl.pipeline.consume.log_gaps import LogGuard, ReadAgain
from sesacctl.pipeline.consume.owned_log import OwnedLog
from sesacctl.pipeline.sink.batch import Batch, Key, LogMark
from sesacctl.pipeline.sink.log_cuts import stops
from sesacctl.pipeline.sink.store import Sink

logger = logging.getLogger(__name__)

Records = dict[TopicPartition, list[Any]]
T = TypeVar("T")
# These mean that the group is changing: poll again, and the new generation is noticed.
_POLL_AGAIN = (
    CommitFailedError,
    RebalanceInProgressError,
    IllegalGenerationError,
    UnknownMemberIdError,
    RetriableError,
)


class Ownership:
    """The partitions of one group member, with PostgreSQL's next offset of each.

    `stale` says that the membership, a topic's id or an offset has changed, or may have: call `take_over` before
    anything is stored. What was polled before that is dropped; it comes again.
    """

    def __init__(self, consumer: Any, kinds: dict[str, str], *, accept_gap: bool) -> None:
        """`kinds` gives the kind of event for each topic name."""
        self._consumer = consumer
        self._kinds = kinds
        self._guard = LogGuard(consumer, accept_gap=accept_gap)
        self._owned: dict[TopicPartition, OwnedLog] = {}
        self._untold: set[TopicPartition] = set()
        self._membership: object = None

    def poll(self, sink: Sink, *, timeout_ms: int) -> Records:
        """Raw records by partition; none when the group is changing.

        Raises:
            OffsetGap: records that PostgreSQL does not have are gone.
            CutFound: the log ends before PostgreSQL's offset; psycopg2.Error, Fenced
        """
        try:
            return self._consumer.poll(timeout_ms=timeout_ms)  # type: ignore[no-any-return]
        except NoOffsetForPartitionError:
            pass  # a new assignment: we seek before the next poll
        except OffsetOutOfRangeError as error:
            for log, start in self._guard.expired(self._mine(error.args[0])):
                sink.skip_expired(self._batch(log, start, []))
        except LogTruncationError as error:
            self._guard.note_epochs(self._mine(error.divergent_offsets))
        except _POLL_AGAIN as error:
            logger.debug("poll: %s", error, extra={"action": "consume.poll"})
        self.invalidate()  # the position may have passed records that were not handed out
        return {}

    def poll_paused(self, *, timeout_ms: int) -> None:
        """Stay a member of the group, and take nothing."""
        assigned = self._consumer.assignment()
        self._consumer.pause(*assigned)
        for tp in assigned:
            if clients.position(self._consumer, tp) is None:
                clients.seek(self._consumer, tp, 0, None)  # anything but none, which would end every poll at once
        try:
            self._consumer.poll(timeout_ms=timeout_ms)
        except (NoOffsetForPartitionError, OffsetOutOfRangeError, *_POLL_AGAIN) as error:
            logger.debug("poll: %s", error, extra={"action": "consume.poll"})
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
            LogCut: the log is not the one that was read, as was found before; CutFound: as is found now
            psycopg2.Error
        """
        membership = self._look()
        wanted = {
            tp: topic_id
            for tp in sorted(self._consumer.assignment())
            if (topic_id := clients.topic_id(self._consumer, tp.topic)) is not None
        }
        self._owned = {}
        cuts = sink.open_cuts()
        for tp, topic_id in wanted.items():
            if cut := cuts.get((topic_id, tp.partition)):
                raise stops(tp.topic, tp.partition, cut)
        known = sink.marks([(topic_id, tp.partition) for tp, topic_id in wanted.items()])
        new = [tp for tp, topic_id in wanted.items() if (topic_id, tp.partition) not in known]
        starts = clients.log_starts(self._consumer, new)
        if starts is None:
            return
        for tp, topic_id in wanted.items():
            key = (topic_id, tp.partition)
            mark = known.get(key)
            if mark is None:
                mark = LogMark(sink.begin_partition(tp.topic, key, starts[tp]))
                self._guard.note_unreadable(key, mark)  # there is nothing before it to look at
            log = self._owned[tp] = self._guard.owned(tp, self._kinds[tp.topic], topic_id, mark)
            epoch = mark.leader_epoch if log.epoch_agrees else None
            if not clients.seek(self._consumer, tp, log.begins_at, epoch):
                return  # it was taken from us in between: `stale` stays true
        self._consumer.resume(*self._owned)
        self._untold = set(self._owned)
        self._membership = membership
        logger.debug("owns %s", self.names, extra={"action": "consume.assigned"})

    def _mine(self, found: Mapping[TopicPartition, T]) -> list[tuple[OwnedLog, T]]:
        return [(self._owned[tp], value) for tp, value in found.items() if tp in self._owned]

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
    def beyond(self) -> dict[str, int]:
        """Topics of which the first partition is owned, with how many there are: what came from others has no owner."""
        first = (tp.topic for tp in self._owned if tp.partition == 0)
        counts = ((topic, len(clients.partitions(self._consumer, topic))) for topic in first)
        return {topic: count for topic, count in counts if count}

    @property
    def lag(self) -> int:
        """Offsets of owned partitions that are not stored yet, as of the last fetch; asks no server."""
        return sum(
            max(0, end - owned.next_offset)
            for tp, owned in self._owned.items()
            if (end := clients.highwater(self._consumer, tp)) is not None
        )

    def batches(self, records: Records) -> list[Batch]:
        """The records of owned partitions from PostgreSQL's offsets on.

        Raises:
            CutFound: the log is not the one that was read; OffsetGap: records are gone from its middle.
        """
        found = []
        for tp, polled in records.items():
            owned = self._owned.get(tp)
            if owned is None:
                self.invalidate()
                continue
            with self._reading_again():
                if fresh := self._guard.fresh(owned, polled):
                    found.append(self._guard.whole(owned, self._batch(owned, fresh[-1].offset + 1, fresh)))
        return found

    @contextmanager
    def _reading_again(self) -> Iterator[None]:
        """Where a log looks strange because its topic was created again, or the position ran ahead of what was read."""
        try:
            yield
        except ReadAgain:
            self.invalidate()

    def control_batches(self) -> list[Batch]:
        """Batches without records for transaction markers at the ends of logs, which move the position alone.

        Only right after a poll without records: what was polled and is not stored has moved the position, too.
        Raises as `batches`.
        """
        found = []
        for tp, owned in self._owned.items():
            position = clients.position(self._consumer, tp)
            if position is None or position <= owned.next_offset:
                continue
            with self._reading_again():
                self._guard.require_recognised(owned, position)
                found.append(self._guard.whole(owned, self._batch(owned, position, [])))
        return found

    def _batch(self, owned: OwnedLog, end: int, records: list[Any]) -> Batch:
        passed = skipped(self._consumer).within(owned.tp, owned.next_offset, end)
        return owned.batch(end, records, skipped=passed, leader_epoch=clients.leader_epoch(self._consumer, owned.tp))

    def baselines(self) -> list[tuple[Key, LogMark]]:
        """What was seen right before the offsets of partitions of which PostgreSQL knows no record; each once."""
        marks = ((owned.key, owned.take_baseline()) for owned in self._owned.values())
        return [(key, mark) for key, mark in marks if mark is not None]

    def require_whole_logs(self) -> None:
        """Look whether a log ends before PostgreSQL's offset; asks the brokers only if the last fetch says so.

        Raises:
            CutFound: it was cut, and nothing was written to it since.
        """
        ends = ((owned, clients.highwater(self._consumer, tp)) for tp, owned in self._owned.items())
        self._guard.require_ends([owned for owned, end in ends if end is not None and end < owned.next_offset])

    def moved(self, batches: Sequence[Batch]) -> None:
        """Note the new offsets of stored batches."""
        for batch in batches:
            tp = TopicPartition(batch.topic, batch.partition)
            self._owned[tp].next_offset = batch.end
            self._untold.add(tp)
            self._guard.forget_epochs(batch.key)  # what was stored has those of the log as it is now

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
            logger.debug("commit: %s", error, extra={"action": "consume.commit"})

    def agrees(self, sink: Sink) -> bool:
        """Whether PostgreSQL still has the offsets that are here; a restore from a backup keeps connections open."""
        known = sink.positions([owned.key for owned in self._owned.values()])
        return all(known.get(owned.key) == owned.next_offset for owned in self._owned.values())
