"""What was consumed, read from Kafka once more, outside any group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kafka import TopicPartition
from kafka.errors import OffsetOutOfRangeError

from sesacctl.broker import clients
from sesacctl.pipeline.audit.partitions import PartitionProgress
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from sesacctl.broker.consumer_like import ConsumerLike
    from sesacctl.broker.kafka_python.consumer_records import Record

_POLL_MS = 1_000
_QUIET_POLLS = 30  # half a minute without a record: the broker is away


class Log:
    """The records between each partition's first and next offset, as far as they are still in the log."""

    def __init__(self, settings: Settings, partitions: Sequence[PartitionProgress]) -> None:
        self._settings = settings
        self._parts = {TopicPartition(part.topic, part.partition): part for part in partitions}
        self._ends = {tp: min(part.next or 0, part.log_end) for tp, part in self._parts.items()}
        self.expired = 0

    def chunks(self) -> Iterator[tuple[PartitionProgress, list[Record]]]:
        """Some records of one partition at a time; errors as `clients.consumer`."""
        left = {tp for tp, part in self._parts.items() if (part.first or 0) < self._ends[tp]}
        if not left:
            return
        consumer: ConsumerLike = clients.consumer(self._settings, group_instance_id=None)
        try:
            consumer.assign(list(left))
            for tp in left:
                consumer.seek(tp, self._parts[tp].first or 0)
            quiet = 0
            while left:
                polled = self._poll(consumer)
                quiet = 0 if polled else quiet + 1
                if quiet > _QUIET_POLLS:
                    raise clients.unreachable(self._settings, TimeoutError())
                for tp, records in polled.items():
                    yield self._parts[tp], [record for record in records if record.offset < self._ends[tp]]
                done = {tp for tp in left if (clients.position(consumer, tp) or 0) >= self._ends[tp]}
                left -= done
                if done:
                    consumer.pause(*done)
        finally:
            consumer.close(autocommit=False)

    def _poll(self, consumer: ConsumerLike) -> dict[TopicPartition, list[Record]]:
        with clients.translate_errors(self._settings):
            try:
                polled = consumer.poll(timeout_ms=_POLL_MS)
            except OffsetOutOfRangeError as error:  # they expired, before or meanwhile
                gone = error.args[0]
                for tp, start in consumer.beginning_offsets(list(gone)).items():
                    self.expired += min(start, self._ends[tp]) - gone[tp]
                    consumer.seek(tp, start)
                return {}
            return polled
