"""What a member of the group reads from Kafka: records, positions and ends of logs. Knows nothing of PostgreSQL."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from uuid import UUID

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
from sesacctl.broker.consumer_like import ConsumerLike
from sesacctl.broker.kafka_python.consumer_records import Record, Skipped, skipped
from sesacctl.pipeline.consume.log_gaps import is_same_topic

logger = logging.getLogger(__name__)

# These mean that the group is changing: poll again, and the new generation is noticed.
_POLL_AGAIN = (
    CommitFailedError,
    RebalanceInProgressError,
    IllegalGenerationError,
    UnknownMemberIdError,
    RetriableError,
)


@dataclass(frozen=True, slots=True)
class Membership:
    """What the group has assigned; another one with each generation, and when a topic is created again.

    Such a topic keeps its name, so that the consumer would just continue in it.
    """

    generation: int
    partitions: frozenset[TopicPartition]
    topic_ids: Mapping[str, UUID | None]


class Position(NamedTuple):
    """Where a consumer reads on, and the leader epoch of the last batch before that; -1 while it is not known."""

    offset: int
    leader_epoch: int


@dataclass(frozen=True, slots=True)
class Polled:
    """What one poll returned, by partition. Without records, `positions` has where reading continues.

    `membership` is None after an error: positions may have passed records that were not handed out. `refused` has
    positions that are not in their logs, `diverged` the ends of what the brokers know of a leader epoch. `at` is when
    it returned, by the monotonic clock.
    """

    membership: Membership | None
    skipped: Skipped
    records: Mapping[TopicPartition, list[Record]] = field(default_factory=dict)
    positions: Mapping[TopicPartition, Position] = field(default_factory=dict)
    refused: Mapping[TopicPartition, int] = field(default_factory=dict)
    diverged: Mapping[TopicPartition, OffsetAndMetadata | None] = field(default_factory=dict)
    at: float = field(default_factory=time.monotonic)


class Reader:
    """A consumer in its group. It asks brokers in `poll…`, `log_…`, `…_topic…` and `commit_to_kafka` only."""

    def __init__(self, consumer: ConsumerLike, topics: Sequence[str]) -> None:
        """`topics` are those that the consumer has subscribed to."""
        self._consumer = consumer
        self._topics = topics

    @property
    def consumer(self) -> ConsumerLike:
        """The consumer itself."""
        return self._consumer

    def poll(self, *, timeout_ms: int) -> Polled:
        """Records as they came, or none when the group is changing."""
        refused: Mapping[TopicPartition, int] = {}
        diverged: Mapping[TopicPartition, OffsetAndMetadata | None] = {}
        try:
            records = self._consumer.poll(timeout_ms=timeout_ms)
        except NoOffsetForPartitionError:
            pass  # a new assignment: we seek before the next poll
        except OffsetOutOfRangeError as error:
            refused = error.args[0]
        except LogTruncationError as error:
            diverged = error.divergent_offsets
        except _POLL_AGAIN as error:
            logger.debug("poll: %s", error, extra={"action": "consume.poll"})
        else:
            positions = {} if records else self._positions()
            return Polled(self.membership(), skipped(self._consumer), records, positions)
        return Polled(None, skipped(self._consumer), positions=self._positions(), refused=refused, diverged=diverged)

    def _positions(self) -> dict[TopicPartition, Position]:
        offsets = ((tp, clients.position(self._consumer, tp)) for tp in self._consumer.assignment())
        return {
            tp: Position(offset, clients.leader_epoch(self._consumer, tp))
            for tp, offset in offsets
            if offset is not None
        }

    def poll_paused(self, *, timeout_ms: int) -> None:
        """Stay a member of the group, and take nothing: positions are lost."""
        assigned = self._consumer.assignment()
        self._consumer.pause(*assigned)
        for tp in assigned:
            if clients.position(self._consumer, tp) is None:
                clients.seek(self._consumer, tp, 0, None)  # any position: without one, every poll would return at once
        try:
            self._consumer.poll(timeout_ms=timeout_ms)
        except (NoOffsetForPartitionError, OffsetOutOfRangeError, *_POLL_AGAIN) as error:
            logger.debug("poll: %s", error, extra={"action": "consume.poll"})

    def membership(self) -> Membership:
        """What is assigned now, as far as the consumer knows."""
        return Membership(
            generation=self._consumer.group_metadata().generation_id,
            partitions=frozenset(self._consumer.assignment()),
            topic_ids={topic: clients.topic_id(self._consumer, topic) for topic in self._topics},
        )

    def membership_with_topics(self) -> Membership:
        """The same; brokers are asked for topics of it without an id. The client itself asks again after half a minute.

        A broker that was asked at the client's start may not have known a topic that had just been created.
        """
        found = self.membership()
        if all(found.topic_ids.get(tp.topic) for tp in found.partitions):
            return found
        clients.refresh_topics(self._consumer)
        return self.membership()

    def seek(self, tp: TopicPartition, offset: int, leader_epoch: int | None) -> bool:
        """Read on from an offset; False if the partition was taken from us. The epoch is that of what is before it."""
        return clients.seek(self._consumer, tp, offset, leader_epoch)

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """Have `poll` return records of these again."""
        self._consumer.resume(*partitions)

    def close(self, *, timeout_ms: int) -> None:
        """Close the consumer, without a commit."""
        self._consumer.close(autocommit=False, timeout_ms=timeout_ms)

    @property
    def connected(self) -> bool:
        """Whether any broker can be talked to."""
        return clients.is_connected(self._consumer)

    def partition_count(self, topic: str) -> int:
        """How many partitions a topic has; 0 while it is not known."""
        return len(clients.partitions(self._consumer, topic))

    def high_watermarks(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """The ends of logs as of their last fetch, where there was one."""
        found = ((tp, clients.highwater(self._consumer, tp)) for tp in partitions)
        return {tp: end for tp, end in found if end is not None}

    def log_starts(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int] | None:
        """The first offset of each log; None if they are not known soon."""
        return clients.log_starts(self._consumer, partitions)

    def log_ends(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int] | None:
        """The end of each log; None if they are not known soon."""
        return clients.log_ends(self._consumer, partitions)

    def is_same_topic(self, ids: Mapping[str, UUID]) -> bool:
        """Whether the topics of these names still have these ids."""
        return is_same_topic(self._consumer, ids)

    def commit_to_kafka(self, next_offsets: Mapping[TopicPartition, int], *, wait_ms: int | None = None) -> None:
        """Commit offsets to Kafka, for lag tools alone: PostgreSQL's are the truth.

        With `wait_ms` it waits for the answer, otherwise it may be lost.
        """
        offsets = {tp: OffsetAndMetadata(offset, "", -1) for tp, offset in next_offsets.items()}
        if not offsets:
            return
        if wait_ms is None:
            self._consumer.commit_async(offsets, callback=lambda _offsets, _response: None)
            return
        try:
            self._consumer.commit(offsets, timeout_ms=wait_ms)
        except KafkaError as error:
            logger.debug("commit: %s", error, extra={"action": "consume.commit"})
