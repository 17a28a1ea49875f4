"""The units of one sink step: batches of records, the events decoded from them, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from msgspec import Struct

from sesacctl.events import ORDERS, PRODUCTS, USERS, Kind, Malformed, Reason, Row
from sesacctl.pipeline.sink.counts import Counts, PartitionKey
from sesacctl.pipeline.sink.explain import explain
from sesacctl.pipeline.sink.record_like import PolledRecord, RecordLike
from sesacctl.pipeline.sink.sqlstates import Failure

# Parents first, so that an order finds a user who came in the same step.
WRITE_ORDER = (USERS, PRODUCTS, ORDERS)


@dataclass(frozen=True, slots=True)
class LogMark:
    """What PostgreSQL keeps of a log below its next offset: an offset alone does not tell one log from another.

    As Kafka does beside a committed offset, it has the leader epoch of the last batch; and, for clusters whose epochs
    begin again, offset, time in milliseconds and CRC-32 of the last record. Each is None while it is not known.
    """

    next_offset: int
    leader_epoch: int | None = None
    last_offset: int | None = None
    last_timestamp: int | None = None
    last_crc: int | None = None

    @property
    def says_something(self) -> bool:
        """Whether anything but the offset is known."""
        return self.leader_epoch is not None or self.last_offset is not None

    def is_of(self, record: PolledRecord) -> bool:
        """Whether a record is the last one that was stored."""
        found = (record.offset, record.timestamp, record.crc())
        return found == (self.last_offset, self.last_timestamp, self.last_crc)


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of one partition: offsets from `next_offset`, PostgreSQL's, up to but not including `end`.

    `skipped` are spans in which the reader saw transaction markers or aborted records; `holes_accepted`: count what is
    between as expired, as a person has decided. `leader_epoch` is for a batch without records.
    """

    kind: Kind
    topic: str
    topic_id: UUID
    partition: int
    next_offset: int
    end: int
    records: Sequence[PolledRecord]
    skipped: Sequence[tuple[int, int]] = ()
    holes_accepted: bool = False
    leader_epoch: int = -1

    @property
    def key(self) -> PartitionKey:
        """What `sink_offsets` is keyed by, besides the group."""
        return self.topic_id, self.partition

    @property
    def control(self) -> int:
        """Offsets of markers and aborted records."""
        return sum(max(0, min(end, self.end) - max(first, self.next_offset)) for first, end in self.skipped)

    @property
    def holes(self) -> int:
        """Offsets that are neither records nor control: nobody has seen what was there."""
        return self.end - self.next_offset - len(self.records) - self.control

    @property
    def mark(self) -> LogMark:
        """What is known of the log up to `end`."""
        if not self.records:
            return LogMark(self.end, _known(self.leader_epoch))
        return mark_of(self.end, self.records[-1])


def mark_of(next_offset: int, last: PolledRecord) -> LogMark:
    """What is known of a log up to an offset whose last record is `last`."""
    return LogMark(next_offset, _known(last.leader_epoch), last.offset, last.timestamp, last.crc())


def _known(leader_epoch: int) -> int | None:
    return None if leader_epoch < 0 else leader_epoch


class Entry(Struct, gc=False):
    """One decoded event, with the record and the batch it came in."""

    row: Row
    record: RecordLike
    batch: Batch

    def refuse(self, failure: Failure, reason: Reason, detail: str) -> Refusal:
        """This event as a refusal."""
        return Refusal(failure, reason, detail, self.record, self.batch, decoded=True)


@dataclass(slots=True)
class Refusal:
    """A record that is not stored as a new row: dead, parked or a duplicate."""

    failure: Failure
    reason: Reason
    detail: str
    record: RecordLike
    batch: Batch
    decoded: bool = False


def malformed(error: Malformed, record: RecordLike, batch: Batch) -> Refusal:
    """A record that is not an event of its topic, with what it looks like."""
    return Refusal(Failure.DATA, error.reason, explain(error, record.key, record.value, record.headers), record, batch)


def count_records(batches: Sequence[Batch]) -> int:
    """How many records all batches have together."""
    return sum(len(batch.records) for batch in batches)


def truncate(batches: Sequence[Batch], most: int) -> list[Batch]:
    """The batches with the first `most` records of all of them together; a batch may keep none."""
    kept = []
    for batch in batches:
        records = batch.records[:most]
        if len(records) < len(batch.records):
            end = records[-1].offset + 1 if records else batch.next_offset
            kept.append(replace(batch, records=records, end=end))
        else:
            kept.append(batch)
        most -= len(records)
    return kept


def tally(counts: Mapping[PartitionKey, Counts], refusals: Sequence[Refusal]) -> None:
    """Count what was refused; a refused event was taken for stored when it was decoded."""
    for refusal in refusals:
        found = counts[refusal.batch.key]
        found.stored -= refusal.decoded
        if refusal.failure is Failure.DUPLICATE:
            found.duplicates += 1
        elif refusal.failure is Failure.PARK:
            found.parked += 1
        else:
            found.dead += 1
