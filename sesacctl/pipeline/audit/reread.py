"""What was consumed, read from Kafka once more, outside any group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from sesacctl.broker.records import RecordReader
from sesacctl.pipeline.audit.partitions import PartitionProgress
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from sesacctl.broker.kafka_python.consumer_records import Record


class Log:
    """The records between each partition's first and next offset, as far as they are still in the log."""

    def __init__(self, settings: Settings, partitions: Sequence[PartitionProgress]) -> None:
        self._settings = settings
        self._parts = {(part.topic, part.partition): part for part in partitions}
        self._ends = {where: min(part.next or 0, part.log_end) for where, part in self._parts.items()}
        self.expired = 0

    def chunks(self) -> Iterator[tuple[PartitionProgress, list[Record]]]:
        """Some records of one partition at a time; errors as `RecordReader`."""
        starts = {
            where: part.first or 0 for where, part in self._parts.items() if (part.first or 0) < self._ends[where]
        }
        if not starts:
            return
        with RecordReader(self._settings) as reader:
            for chunk in reader.chunks(starts, ends=self._ends):
                self.expired += chunk.expired
                yield self._parts[chunk.topic, chunk.partition], chunk.records
