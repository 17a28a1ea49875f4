"""What became of a record that is in Kafka, and of the event that it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sesacctl import envelopes
from sesacctl.formatting import plural
from sesacctl.pipeline.audit.kept import event_of
from sesacctl.pipeline.audit.partitions import PartitionProgress
from sesacctl.pipeline.trace.rows import KeptRecord, Tables
from sesacctl.pipeline.trace.search import FoundRecord
from sesacctl.pipeline.trace.timeline import Verdict, waits_for

ACCEPT_CUT = "sesacctl offsets accept-cut --dry-run"
DEEP = "sesacctl audit --deep"
LAG = "sesacctl lag"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """A verdict, in words, and the command to run next, if any."""

    verdict: Verdict
    sentence: str
    next_command: str | None = None


def of_record(record: FoundRecord, part: PartitionProgress, tables: Tables, *, original: FoundRecord | None) -> Fate:
    """What became of one record; `original` is the first one of the same event, None if this is it.

    The offsets in `part` must have been read before `tables`: what they have passed is there by then.
    """
    if (kept := _kept_of(record, part, tables.kept)) is not None:
        return of_kept(kept)
    if part.next is None or record.offset >= part.next:
        return _not_consumed(record, part, tables)
    return _consumed(record, part, tables, original)


def _consumed(record: FoundRecord, part: PartitionProgress, tables: Tables, original: FoundRecord | None) -> Fate:
    if tables.rows:
        if original is None:
            return Fate(verdict=Verdict.STORED, sentence="consumed, and its row is there")
        return Fate(verdict=Verdict.DUPLICATE, sentence=f"a duplicate of {original.position}: the same id again")
    if part.first is not None and record.offset < part.first:
        sentence = f"skipped: the group was set to begin at offset {part.first:,}, after it"
        return Fate(verdict=Verdict.SKIPPED, sentence=sentence, next_command="sesacctl offsets reset --help")
    if part.cut_log is not None and record.offset >= (part.cut_log.diverged_at or 0):
        sentence = "not the record that was consumed at this offset: the log was cut"
        return Fate(verdict=Verdict.CUT, sentence=sentence, next_command=ACCEPT_CUT)
    event = event_of(part.kind, record, tables.zone)
    if event is not None and tables.removals.explain(event):
        sentence = "consumed, and its row is not there: `db prune`, `db forget` or `smoke` may have removed it"
        return Fate(verdict=Verdict.REMOVED, sentence=sentence)
    sentence = "consumed, but its row is not there, and it is not kept: lost, or deleted afterwards"
    return Fate(verdict=Verdict.MISSING, sentence=sentence, next_command=DEEP)


def of_event(fates: Sequence[Fate], tables: Tables) -> Fate | None:
    """What became of an event whose records have these fates; None if neither a record nor anything else is known."""
    if len(tables.rows) > 1:
        sentence = f"{len(tables.rows)} rows have its id: stored more than once"
        return Fate(verdict=Verdict.DOUBLED, sentence=sentence, next_command="sesacctl db check")
    if tables.rows:
        return Fate(verdict=Verdict.STORED, sentence="its row is there, once")
    kept = sorted((of_kept(each) for each in tables.kept), key=lambda fate: _ORDER.index(fate.verdict))
    found = sorted(fates, key=lambda fate: _ORDER.index(fate.verdict))
    return next(iter([*kept, *found]), None)


# Of an event without a row: what may still become one comes first.
_ORDER = (
    Verdict.PARKED, Verdict.WAITING, Verdict.DEAD_LETTER, Verdict.DISCARDED, Verdict.REMOVED, Verdict.SKIPPED,
    Verdict.CUT, Verdict.MISSING,
)  # fmt: skip


def of_kept(kept: KeptRecord) -> Fate:
    """What is to be said of a dead letter or parked event."""
    if kept.reason is None:
        return Fate(verdict=Verdict.PARKED, sentence=f"parked: it waits for {waits_for(kept)}")
    show = f"sesacctl dlq show {kept.id}"
    if kept.discarded_at is not None:
        sentence = f"dead letter {kept.id}, discarded by hand: {kept.reason}"
        return Fate(verdict=Verdict.DISCARDED, sentence=sentence, next_command=show)
    return Fate(verdict=Verdict.DEAD_LETTER, sentence=f"dead letter {kept.id}: {kept.reason}", next_command=show)


def _kept_of(record: FoundRecord, part: PartitionProgress, kept: Sequence[KeptRecord]) -> KeptRecord | None:
    """The position alone says nothing: after a log was cut, another record may have it.

    What is kept of a forgotten user has other bytes, or none.
    """
    here = [each for each in kept if each.place == (part.topic_id, part.partition, record.offset)]
    wanted = envelopes.find_id(part.kind, record.key, record.value)
    return next(
        (
            each
            for each in here
            if each.erased_at is not None
            or (each.key, each.value) == (record.key, record.value)
            or (wanted is not None and envelopes.find_id(part.kind, each.key, each.value) == wanted)
        ),
        None,
    )


def _not_consumed(record: FoundRecord, part: PartitionProgress, tables: Tables) -> Fate:
    if tables.rows:
        sentence = "not consumed yet, as the group's offset is before it; its row is there already"
        return Fate(verdict=Verdict.STORED, sentence=sentence)
    if part.cut_log is not None:
        sentence = f"not consumed: consumers stop at this log, as {part.cut_log.detail}"
        return Fate(verdict=Verdict.WAITING, sentence=sentence, next_command=ACCEPT_CUT)
    ahead = record.offset - (part.log_start if part.next is None else max(part.next, part.log_start))
    first = f"{plural(ahead, 'offset is', 'offsets are')} before it" if ahead else "it is the next one"
    return Fate(verdict=Verdict.WAITING, sentence=f"not consumed yet by this group: {first}", next_command=LAG)
