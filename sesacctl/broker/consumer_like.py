"""What sesacctl uses of kafka-python's consumer, which has no types of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from kafka import OffsetAndMetadata, TopicPartition


class GroupMetadata(Protocol):
    """A member's place in its group."""

    generation_id: int


class ConsumerLike(Protocol):
    """A `KafkaConsumer`; those of its insides that are needed are in `clients`."""

    def subscribe(self, topics: Iterable[str]) -> None:
        """Have the group assign partitions of these topics."""

    def assignment(self) -> set[TopicPartition]:
        """The partitions that the group has assigned."""

    def group_metadata(self) -> GroupMetadata:
        """The generation of the group that the assignment is of."""

    def poll(self, *, timeout_ms: int) -> dict[TopicPartition, list[Any]]:
        """Fetched records in the order of their offsets."""

    def pause(self, *partitions: TopicPartition) -> None:
        """Fetch nothing from these."""

    def resume(self, *partitions: TopicPartition) -> None:
        """Fetch from these again."""

    def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata], *, timeout_ms: int) -> None:
        """Commit offsets to Kafka, and wait for the answer."""

    def commit_async(
        self, offsets: Mapping[TopicPartition, OffsetAndMetadata], *, callback: Callable[[Any, Any], None]
    ) -> object:
        """Commit offsets to Kafka, and wait for nothing."""

    def close(self, *, autocommit: bool, timeout_ms: int) -> None:
        """Close the connections; a static member stays in the group for its session."""
