"""One owned partition: where it goes on, and whether its log is the one that was stored. Calls no Kafka."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from kafka import TopicPartition

from sesacctl.pipeline.batch import Batch, Key, LogMark, mark_of


class StrangeLog(Exception):
    """What a log shows that the stored one cannot show; unless the topic was created again, it was cut."""

    def __init__(self, log: OwnedLog, found: str) -> None:
        super().__init__(f"{log.name}: {found}")
        self.log, self.found = log, found


def strange_record(mark: LogMark, polled: Sequence[Any]) -> Any:
    """The first record below PostgreSQL's offset that is not the last stored one; None if there is none.

    `polled` are all records that a log has from that one's offset on; a first one from behind it is strange, too.
    """
    early = [record for record in polled if record.offset < mark.next_offset]
    return next((record for record in early or polled if not mark.is_of(record)), None)


@dataclass(slots=True)
class OwnedLog:
    """`mark` is what PostgreSQL knew of the log when it was taken over; `next_offset` moves on from there.

    Reading begins with the last stored record where that is `readable`, so that it can be recognised.
    """

    tp: TopicPartition
    kind: str
    topic_id: UUID
    mark: LogMark
    readable: bool
    next_offset: int = field(init=False)
    recognised: bool = field(init=False)
    _baseline: Any = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Begin at the mark."""
        self.next_offset = self.mark.next_offset
        self.recognised = not self.readable or self.mark.last_offset is None

    @property
    def key(self) -> Key:
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

    def fresh(self, polled: list[Any]) -> list[Any]:
        """What is not stored yet; what comes before that must be the last stored record, and nothing else.

        Raises:
            StrangeLog
        """
        if self.recognised and polled[0].offset >= self.next_offset:
            return polled
        early = sum(record.offset < self.next_offset for record in polled)
        if self.mark.last_offset is None:
            self._baseline = polled[early - 1]
        elif not self.has_moved:
            if (strange := strange_record(self.mark, polled)) is not None:
                raise StrangeLog(self, f"offset {strange.offset} has another record")
            self.recognised = True
        return polled[early:]

    def require_recognised(self, position: int) -> None:
        """Return if reading may have passed PostgreSQL's offset without a record.

        Raises:
            StrangeLog
        """
        if not self.recognised and position > self.next_offset:
            raise StrangeLog(self, f"the record at offset {self.mark.last_offset}, the last one, is gone")

    def batch(self, end: int, records: list[Any], *, skipped: Sequence[tuple[int, int]], leader_epoch: int) -> Batch:
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
