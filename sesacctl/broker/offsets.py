"""Where the logs begin and end, and what a group has committed to Kafka."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError, OffsetNotAvailableError
from kafka.structs import OffsetAndTimestamp

from sesacctl.broker.clients import admin_client
from sesacctl.broker.topic_state import existing_topics
from sesacctl.broker.topics import YOUNG_SECONDS, described, raise_missing
from sesacctl.events import PARTITIONS, Kind
from sesacctl.settings import Settings
from sesacctl.waiting import wait_until

_EARLIEST, _LATEST = -2, -1
ELECTED_SECONDS = 3.0
"""For so long a leader that was just chosen may not know what its followers have, and so not where its log ends."""


@dataclass(frozen=True, slots=True)
class LogBounds:
    """What one partition's log holds: offsets from `start` up to but not including `end`, the high watermark.

    `stable_end` is the last stable offset: what is behind it waits for the end of another producer's transaction.
    """

    topic: str
    partition: int
    start: int
    end: int
    stable_end: int


@dataclass(frozen=True, slots=True)
class LogOffsets:
    """One partition's log: the first offset there is, the next one to be written, and what the group committed.

    `end` is the high watermark. Behind `stable_end`, the last stable offset, are records that nobody can read before
    another producer's transaction ends.
    """

    kind: Kind
    topic: str
    topic_id: UUID
    partition: int
    start: int
    end: int
    stable_end: int
    committed: int | None

    @property
    def key(self) -> tuple[UUID, int]:
        """What tells the log from others: topics that are created again keep their names."""
        return self.topic_id, self.partition


def log_offsets(settings: Settings) -> list[LogOffsets]:
    """Every partition of the three topics, in order.

    Raises:
        TopicMissing: one does not exist.
        ServerUnreachable: no broker answers in time.
        ServerRefused: authentication or authorization failed.
    """
    with looking_at_logs(settings) as look:
        return look()


@contextmanager
def looking_at_logs(settings: Settings) -> Iterator[Callable[[], list[LogOffsets]]]:
    """What reads `log_offsets`, as often as it is called, over the same connections; errors as there."""
    with admin_client(settings) as client:
        yield lambda: _log_offsets(settings, client)


def _log_offsets(settings: Settings, client: KafkaAdminClient) -> list[LogOffsets]:
    kinds = {settings.topic(kind): kind for kind in PARTITIONS}
    topics = described(settings, client)
    partitions = [
        TopicPartition(name, index)
        for name in kinds
        for index in sorted(entry["partition_index"] for entry in topics[name]["partitions"])
    ]
    bounds = bounds_of(client, partitions)
    committed = _committed(client, settings.kafka_group, partitions)
    return [
        LogOffsets(
            kind=kinds[tp.topic],
            topic=tp.topic,
            topic_id=UUID(str(topics[tp.topic]["topic_id"])),
            partition=tp.partition,
            start=log.start,
            end=log.end,
            stable_end=log.stable_end,
            committed=committed.get(tp),
        )
        for tp, log in zip(partitions, bounds, strict=True)
    ]


def log_bounds(settings: Settings, topic: str) -> list[LogBounds]:
    """Every partition of any topic, by its name on the brokers, in order.

    Raises:
        TopicMissing: it does not exist.
        ServerUnreachable: no broker answers in time.
        ServerRefused: authentication or authorization failed.
    """
    with admin_client(settings) as client:
        return bounds_of(client, partitions_of(settings, client, topic))


def partitions_of(settings: Settings, client: KafkaAdminClient, topic: str) -> list[TopicPartition]:
    """The partitions of any topic, in order; Kafka's own errors.

    Raises:
        TopicMissing: it does not exist.
    """
    found: dict[str, dict[str, Any]] = {}

    def look() -> bool:
        found.update(existing_topics(client, [topic]))
        return topic in found

    if not wait_until(look, YOUNG_SECONDS):  # a broker may learn of a new topic later than its neighbour
        raise_missing(settings, [topic], found)
    return [
        TopicPartition(topic, index) for index in sorted(each["partition_index"] for each in found[topic]["partitions"])
    ]


def bounds_of(client: KafkaAdminClient, partitions: Sequence[TopicPartition]) -> list[LogBounds]:
    """What the logs of these partitions hold, in the same order; Kafka's own errors."""
    starts = partition_offsets(client, dict.fromkeys(partitions, _EARLIEST))
    # In this order: what was the end before and is not stable now waits for a transaction, and is not merely newer.
    ends = partition_offsets(client, dict.fromkeys(partitions, _LATEST))
    stable = partition_offsets(client, dict.fromkeys(partitions, _LATEST), isolation_level="read_committed")
    return [
        LogBounds(
            topic=tp.topic,
            partition=tp.partition,
            start=starts[tp].offset,
            end=max(ends[tp].offset, stable[tp].offset),
            stable_end=stable[tp].offset,
        )
        for tp in partitions
    ]


def partition_offsets(
    client: KafkaAdminClient,
    specs: Mapping[TopicPartition, OffsetSpec | int],
    isolation_level: str = "read_uncommitted",
) -> dict[TopicPartition, OffsetAndTimestamp]:
    """`list_partition_offsets`, which waits for leaders that were just chosen; Kafka's own errors."""
    ask = partial(client.list_partition_offsets, dict(specs), isolation_level=isolation_level)
    answers: list[dict[TopicPartition, OffsetAndTimestamp]] = []

    def answered() -> bool:
        with suppress(OffsetNotAvailableError):
            answers.append(ask())
        return bool(answers)

    wait_until(answered, ELECTED_SECONDS)
    return answers[0] if answers else ask()


def offsets_at(settings: Settings, partitions: list[tuple[str, int]], at: datetime) -> dict[tuple[str, int], int]:
    """For each `(topic, partition)` the offset of its first record not older than `at`; none if all are older.

    Raises:
        ServerUnreachable: no broker answers in time.
        ServerRefused: authentication or authorization failed.
        TopicMissing: one of the topics does not exist.
    """
    milliseconds = int(at.timestamp() * 1000)
    with admin_client(settings) as client:
        specs = {TopicPartition(topic, partition): milliseconds for topic, partition in partitions}
        found = partition_offsets(client, specs)
    return {(tp.topic, tp.partition): answer.offset for tp, answer in found.items() if answer.offset >= 0}


def _committed(client: KafkaAdminClient, group: str, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
    try:
        answer = client.list_group_offsets({group: partitions})[group]
    except KafkaError:
        return {}  # the group's coordinator is moving, or there is no such group yet
    return {tp: found.offset for tp, found in answer.items() if found.offset >= 0}
