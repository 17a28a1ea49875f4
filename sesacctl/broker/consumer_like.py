"""What sesacctl uses of kafka-python's consumer, which has no types of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kafka import OffsetAndMetadata, TopicPartition

    from sesacctl.broker.kafka_python.consumer_records import Record


class GroupMetadata(Protocol):
    """A member's place in its group."""

    generation_id: int


class ConsumerLike(Protocol):
    """A `KafkaConsumer`; those of its insides that are needed are in `kafka_python.consumer_state`."""

    def subscribe(self, topics: Iterable[str]) -> None:
        """Have the group assign partitions of these topics."""

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Read these partitions, without a group."""

    def assignment(self) -> set[TopicPartition]:
        """The partitions that the group has assigned."""

    def group_metadata(self) -> GroupMetadata:
        """The generation of the group that the assignment is of."""

    def poll(self, *, timeout_ms: int) -> dict[TopicPartition, list[Record]]:
        """Fetched records in the order of their offsets."""

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read on from an offset."""

    def beginning_offsets(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int]:
        """The first offset of each log."""

    def pause(self, *partitions: TopicPartition) -> None:
        """Fetch nothing from these."""

    def resume(self, *partitions: TopicPartition) -> None:
        """Fetch from these again."""

    def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata], *, timeout_ms: int) -> None:
        """Commit offsets to Kafka, and wait for the answer."""

    def commit_async(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], *, callback: Callable[[object, object], None]
    ) -> object:
        """Commit offsets to Kafka, and wait for nothing."""

    def close(self, *, autocommit: bool, timeout_ms: int | None = None) -> None:
        """Close the connections; a static member stays in the group for its session."""
