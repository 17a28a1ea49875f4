"""The units of one sink step: batches of records, the events decoded from them, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any
from uuid import UUID

from msgspec import Struct

from sesacctl.events import CODECS, ORDERS, PRODUCTS, USERS, Malformed, Reason, Row
from sesacctl.pipeline.failures import Failure

# Parents first, so that an order finds a user who came in the same step.
WRITE_ORDER = (USERS, PRODUCTS, ORDERS)

# The counters of `sink_offsets`; together they account for every offset.
COUNTERS = ("stored", "duplicates", "dead", "parked", "expired", "control")

Key = tuple[UUID, int]


@dataclass(slots=True)
class Counts:
    """What became of the offsets of one partition, as in `sink_offsets`, and how many events had unknown fields."""

    stored: int = 0
    duplicates: int = 0
    dead: int = 0
    parked: int = 0
    expired: int = 0
    control: int = 0
    unknown_fields: int = 0

    def add(self, other: Counts) -> None:
        """Add another's figures to these."""
        for entry in fields(self):
            setattr(self, entry.name, getattr(self, entry.name) + getattr(other, entry.name))

    @property
    def offsets(self) -> int:
        """How many offsets these figures account for."""
        return sum(getattr(self, name) for name in COUNTERS)


@dataclass(slots=True)
class Batch:
    """Records of one partition: offsets from `seen` (PostgreSQL's next) up to but not including `end`."""

    kind: str
    topic: str
    topic_id: UUID
    partition: int
    seen: int
    end: int
    records: Sequence[Any]
    counts: Counts = field(default_factory=Counts)

    @property
    def key(self) -> Key:
        """What `sink_offsets` is keyed by, besides the group."""
        return self.topic_id, self.partition


class Entry(Struct, gc=False):
    """One decoded event, with the record and the batch it came in."""

    row: Row
    record: Any
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
    record: Any
    batch: Batch
    decoded: bool = False


def cut(batches: Sequence[Batch], most: int) -> None:
    """Leave the first `most` records of all batches together; a batch may keep none."""
    for batch in batches:
        if len(batch.records) > most:
            batch.records = batch.records[:most]
            batch.end = batch.records[-1].offset + 1 if most else batch.seen
        most -= len(batch.records)


def decode(batches: Sequence[Batch]) -> tuple[dict[str, list[Entry]], list[Refusal]]:
    """Entries by kind, and a refusal for every record that is not an event of its topic."""
    entries: dict[str, list[Entry]] = {kind: [] for kind in WRITE_ORDER}
    refusals: list[Refusal] = []
    for batch in batches:
        read, found = CODECS[batch.kind].decode, entries[batch.kind]
        for record in batch.records:
            try:
                row, unknown = read(record.key, record.value, record.timestamp)
            except Malformed as error:
                refusals.append(Refusal(Failure.DATA, error.reason, str(error), record, batch))
            else:
                batch.counts.unknown_fields += unknown
                found.append(Entry(row, record, batch))
    return entries, refusals


def tally(batches: Sequence[Batch], entries: dict[str, list[Entry]], refusals: Sequence[Refusal]) -> None:
    """Fill in the batches' counts, which are zero but for `unknown_fields`."""
    for found in entries.values():
        for entry in found:
            entry.batch.counts.stored += 1
    for refusal in refusals:
        counts = refusal.batch.counts
        counts.stored -= refusal.decoded
        if refusal.failure is Failure.DUPLICATE:
            counts.duplicates += 1
        elif refusal.failure is Failure.PARK:
            counts.parked += 1
        else:
            counts.dead += 1
    for batch in batches:
        # Transaction markers and aborted records take offsets too, and are never handed out.
        batch.counts.control = batch.end - batch.seen - len(batch.records)
