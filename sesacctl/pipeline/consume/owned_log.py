"""One owned partition: where it continues, and whether its log is the one that was stored. Calls no Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from kafka import TopicPartition

from sesacctl.broker.kafka_python.consumer_records import Record
from sesacctl.events import Kind
from sesacctl.pipeline.sink.batch import Batch, LogMark, mark_of
from sesacctl.pipeline.sink.counts import PartitionKey


class StrangeLog(Exception):
    """What a log shows that the stored one cannot show; unless the topic was created again, it was cut."""

    def __init__(self, log: OwnedLog, found: str) -> None:
        super().__init__(f"{log.name}: {found}")
        self.log, self.found = log, found


def contradiction(mark: LogMark, polled: Sequence[Record], *, epoch_agrees: bool) -> str | None:
    """What in a log contradicts that it was stored up to the mark; None if nothing does.

    `polled` are the records that the log has from the last stored one's offset on. That one may be gone, as compaction
    deletes from the middle of a log, but only where the brokers know its leader epoch: `epoch_agrees`.
    """
    early = [record for record in polled if record.offset < mark.next_offset]
    strange = next((record for record in early if not mark.is_of(record)), None)
    if strange is not None:
        return f"offset {strange.offset} has another record"
    if not early and not epoch_agrees:
        return f"the record at offset {mark.last_offset}, the last one, is gone"
    return None


@dataclass(slots=True)
class OwnedLog:
    """`mark` is what PostgreSQL knew of the log when it was taken over; `next_offset` moves on from there.

    Reading begins with the last stored record where that is `readable`, so that it can be recognised. `epoch_agrees`:
    the brokers are asked with the mark's leader epoch, and would refuse one that they do not know.
    """

    tp: TopicPartition
    kind: Kind
    topic_id: UUID
    mark: LogMark
    readable: bool
    epoch_agrees: bool
    next_offset: int = field(init=False)
    recognised: bool = field(init=False)
    _baseline: Record | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Begin at the mark."""
        self.next_offset = self.mark.next_offset
        self.recognised = not self.readable or self.mark.last_offset is None

    @property
    def key(self) -> PartitionKey:
        """What `sink_offsets` is keyed by, besides the group."""
        return self.topic_id, self.tp.partition

    @property
    def name(self) -> str:
        """As Kafka writes it."""
        return f"{self.tp.topic}-{self.tp.partition}"

    @property
    def begins_at(self) -> int:
        """Where to read from."""
        if not self.readable or self.mark.next_offset == 0:
            return self.mark.next_offset
        return self.mark.next_offset - 1 if self.mark.last_offset is None else self.mark.last_offset

    @property
    def has_moved(self) -> bool:
        """Whether something was stored since it was taken over."""
        return self.next_offset != self.mark.next_offset

    def fresh(self, polled: list[Record]) -> list[Record]:
        """What is not stored yet; what comes before that must be the last stored record, and nothing else.

        Raises:
            StrangeLog: another record is there.
        """
        if self.recognised and polled[0].offset >= self.next_offset:
            return polled
        early = sum(record.offset < self.next_offset for record in polled)
        if self.mark.last_offset is None:
            self._baseline = polled[early - 1]
        elif not self.has_moved:
            self._recognise(polled)
        return polled[early:]

    def require_recognised(self, position: int) -> None:
        """Return if reading may have passed PostgreSQL's offset without a record.

        Raises:
            StrangeLog: nothing else tells that the log is the same.
        """
        if not self.recognised and position > self.next_offset:
            self._recognise([])

    def _recognise(self, polled: Sequence[Record]) -> None:
        if found := contradiction(self.mark, polled, epoch_agrees=self.epoch_agrees):
            raise StrangeLog(self, found)
        self.recognised = True

    def batch(self, end: int, records: list[Record], *, skipped: Sequence[tuple[int, int]], leader_epoch: int) -> Batch:
        """Offsets from the next one up to `end`."""
        tp = self.tp
        return Batch(
            self.kind,
            tp.topic,
            self.topic_id,
            tp.partition,
            self.next_offset,
            end,
            records,
            skipped=skipped,
            leader_epoch=leader_epoch,
        )

    def take_baseline(self) -> LogMark | None:
        """What was seen right before PostgreSQL's offset, if it knows of no record there; once."""
        last, self._baseline = self._baseline, None
        return None if last is None or self.has_moved else mark_of(self.next_offset, last)
