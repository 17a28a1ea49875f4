"""What kafka-python's consumer knows of topics, positions and logs, and has no public way to ask for."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from uuid import UUID

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.errors import IllegalStateError, KafkaError
from kafka.protocol.consumer import IsolationLevel

from sesacctl.broker.kafka_python.consumer_records import skipped

LOOK_MS = 2_000  # a running consumer must not stand still for longer


def topic_id(client: KafkaConsumer, topic: str) -> UUID | None:
    """The topic's id in the metadata that the consumer has now; None when it knows of no such topic.

    A topic that is deleted and created again keeps its name and gets another id.
    """
    found: UUID | None = client._cluster.topic_id(topic)  # kafka-python has no public way
    return found


def partitions(client: KafkaConsumer, topic: str) -> list[TopicPartition]:
    """The partitions of a topic, subscribed to or not, in the metadata that the consumer has now."""
    client._cluster.add_topic(topic)  # `partitions_for_topic` of the consumer waits without end for one it lacks
    return [TopicPartition(topic, number) for number in sorted(client._cluster.partitions_for_topic(topic) or ())]


def position(client: KafkaConsumer, partition: TopicPartition) -> int | None:
    """The offset of the next record to be polled, from memory; None while it is not known."""
    if not client._subscription.is_assigned(partition):
        return None
    found = client._subscription.position(partition)
    return None if found is None else int(found.offset)


def leader_epoch(client: KafkaConsumer, partition: TopicPartition) -> int:
    """The epoch of the last batch before the position, -1 while it is not known."""
    found = client._subscription.position(partition) if client._subscription.is_assigned(partition) else None
    return -1 if found is None else int(found.leader_epoch)


def seek(client: KafkaConsumer, partition: TopicPartition, offset: int, epoch: int | None) -> bool:
    """Read on from an offset whose last batch had that leader epoch: the brokers say if their log differs before it.

    `KafkaConsumer.seek` takes no epoch. False if the partition has been taken from the consumer.
    """
    try:
        client.seek(partition, offset)
        if epoch is not None:
            client._subscription.assignment[partition].seek(OffsetAndMetadata(offset, "", epoch))
    except (ValueError, KeyError, IllegalStateError):
        return False
    skipped(client).forget(partition)
    return True


def highwater(client: KafkaConsumer, partition: TopicPartition) -> int | None:
    """The end of the partition's log as of the last fetch; None before one, or if it is not assigned."""
    if not client._subscription.is_assigned(partition):
        return None
    found: int | None = client.highwater(partition)
    return found


def is_connected(client: KafkaConsumer) -> bool:
    """Whether there is a connection to any broker; asks none."""
    return bool(client._manager.least_used_connections())


def refresh_topics(client: KafkaConsumer) -> bool:
    """Ask for the topics' ids and leaders again; False without an answer within `LOOK_MS`."""
    manager = client._manager
    try:
        manager.run(manager.wait_for, manager.cluster.request_update(), LOOK_MS)
    except KafkaError:
        return False
    return True


def log_starts(client: KafkaConsumer, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int] | None:
    """The first offset of each log; None if not all of them are known within `LOOK_MS`."""
    return _offsets(client.beginning_offsets, partitions)


def log_ends(client: KafkaConsumer, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int] | None:
    """Each log's high watermark, which open transactions do not hold back; None if not all are known in `LOOK_MS`."""
    whole = copy.copy(client._fetcher)  # it has no parameter for that
    whole._isolation_level = IsolationLevel.READ_UNCOMMITTED
    return _offsets(whole.end_offsets, partitions)


def _offsets(
    ask: Callable[..., dict[TopicPartition, int]], partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, int] | None:
    try:
        return ask(partitions, timeout_ms=LOOK_MS) if partitions else {}
    except (KafkaError, KeyError):  # KeyError: one has no leader
        return None
