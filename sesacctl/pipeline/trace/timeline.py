"""The hops of one event, in the order in which it takes them, and what is to be said of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sesacctl.events import Kind
from sesacctl.formatting import bytes_text, plural, time_text
from sesacctl.pipeline.trace.rows import KeptRecord, StoredRow
from sesacctl.pipeline.trace.search import FoundRecord, Searched


class Verdict(StrEnum):
    """Where an event is; `BAD` are those that are not where they should be, or nowhere.

    `consumed`: its record has expired since, and its position alone does not tell which row came of it.
    """

    STORED = "stored"
    DUPLICATE = "duplicate"
    PARKED = "parked"
    DEAD_LETTER = "dead letter"
    DISCARDED = "discarded"
    WAITING = "waiting"
    SKIPPED = "skipped"
    DOUBLED = "doubled"
    MISSING = "missing"
    EXPIRED = "expired"
    CONSUMED = "consumed"
    REMOVED = "removed"
    CUT = "cut"
    NO_RECORD = "no record"
    NOWHERE = "nowhere"


BAD = frozenset({Verdict.DOUBLED, Verdict.MISSING, Verdict.EXPIRED, Verdict.CUT, Verdict.NO_RECORD, Verdict.NOWHERE})


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """One step. `at`: when, None where nobody keeps that; `where`: a position, a table or a file."""

    stage: str
    at: datetime | None
    where: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """What became of one event. `id` is None if a record's cannot be read; `searched`: which part of Kafka was read.

    `next_command` is what to run next, if anything is to be done.
    """

    kind: Kind
    id: str | None
    group: str
    verdict: Verdict
    sentence: str
    next_command: str | None
    hops: list[Hop]
    searched: Searched | None

    @property
    def is_bad(self) -> bool:
        """Whether the event is not where it should be, or nowhere."""
        return self.verdict in BAD


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerLines:
    """What one ledger says of an event."""

    path: str
    sent: bool
    acknowledged: bool


def ledger_hops(ledgers: Sequence[LedgerLines]) -> Iterator[Hop]:
    """What was intended, and what Kafka acknowledged; a ledger keeps no times."""
    for each in ledgers:
        if each.sent:
            yield Hop(stage="intended", at=None, where=each.path, detail="on the disk before it was sent")
        if each.acknowledged:
            yield Hop(stage="acknowledged", at=None, where=each.path, detail="all in-sync replicas had it")
        elif each.sent:
            detail = "not in this ledger: it may be in Kafka or not"
            yield Hop(stage="acknowledged", at=None, where=each.path, detail=detail)
        else:
            yield Hop(
                stage="intended", at=None, where=each.path, detail="not in this ledger: its producer never sent it"
            )


def record_hops(records: Sequence[FoundRecord], fates: Mapping[int, str]) -> Iterator[Hop]:
    """Its records, each with its fate by the index in `records`."""
    for number, record in enumerate(records):
        key = "no key" if record.key is None else f"key {record.key.decode(errors='backslashreplace')}"
        size = "no value" if record.value is None else bytes_text(len(record.value))
        yield Hop(
            stage="in Kafka again" if number else "in Kafka",
            at=record.at,
            where=record.position,
            detail=f"{key}, {size}; {fates[number]}",
        )


def kept_hops(kept: Sequence[KeptRecord]) -> Iterator[Hop]:
    """The records of it that are not rows."""
    for each in kept:
        where = f"{each.topic}-{each.partition}@{each.offset}"
        if each.reason is None:
            tried = f"; tried again {plural(each.attempts, 'time')}" if each.attempts else ""
            yield Hop(stage="parked", at=each.since, where=where, detail=f"waits for {waits_for(each)}{tried}")
            continue
        detail = f"{each.reason}: {each.detail}"
        yield Hop(stage=f"dead letter {each.id}", at=each.since, where=where, detail=detail)
        if each.erased_at is not None:
            yield Hop(
                stage="erased", at=each.erased_at, where=f"dead letter {each.id}", detail="its user was forgotten"
            )
        if each.discarded_at is not None:
            yield Hop(
                stage="discarded", at=each.discarded_at, where=f"dead letter {each.id}", detail="marked as resolved"
            )


def waits_for(parked: KeptRecord) -> str:
    """Whom a parked event waits for."""
    return " and ".join(parked.waits_for) or "its next try: its user and product are there"


def row_hops(kind: Kind, rows: Sequence[StoredRow]) -> Iterator[Hop]:
    """Its rows; what PostgreSQL knows is the transaction that wrote them last, which may be a later change."""
    for row in rows:
        when = "" if row.committed_at else "; commit times are not kept (track_commit_timestamp is off)"
        detail = f"last written by transaction {row.transaction}{when}; created_at {time_text(row.created_at)}"
        yield Hop(stage="row", at=row.committed_at, where=kind, detail=detail)
