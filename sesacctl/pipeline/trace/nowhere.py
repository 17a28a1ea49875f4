"""What is to be said where there is no record: of a position, and of an id that nobody knows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sesacctl.formatting import plural, time_text
from sesacctl.pipeline.audit.partitions import PartitionProgress
from sesacctl.pipeline.trace.fate import ACCEPT_CUT, DEEP, LAG, Fate, of_kept
from sesacctl.pipeline.trace.rows import KeptRecord, Tables
from sesacctl.pipeline.trace.search import Searched
from sesacctl.pipeline.trace.timeline import LedgerLines, Verdict

_LONGER = "the same command with a longer --since"


def at_position(part: PartitionProgress, offset: int, kept: Sequence[KeptRecord]) -> Fate:
    """Of an offset at which the log has no record."""
    if kept:
        return of_kept(kept[0])
    if offset < part.log_start:
        return _expired(part, offset)
    if offset >= part.log_end:
        if part.next is not None and offset < part.next:
            sentence = f"the log ends at offset {part.log_end:,}, and PostgreSQL had moved over it: the log was cut"
            return Fate(verdict=Verdict.CUT, sentence=sentence, next_command=ACCEPT_CUT)
        return Fate(verdict=Verdict.NO_RECORD, sentence=f"not written yet: the log ends at offset {part.log_end:,}")
    if offset >= part.log_stable_end:
        sentence = "not readable yet: it is behind another producer's open transaction"
        return Fate(verdict=Verdict.WAITING, sentence=sentence, next_command=LAG)
    sentence = "no record has this offset: a transaction's marker, one that was aborted, or compacted away"
    return Fate(verdict=Verdict.NO_RECORD, sentence=sentence)


def _expired(part: PartitionProgress, offset: int) -> Fate:
    gone = f"no longer in Kafka: the log begins at offset {part.log_start:,}"
    if part.next is None or offset >= part.next:
        return Fate(verdict=Verdict.EXPIRED, sentence=f"{gone}, and the group had not consumed it", next_command=LAG)
    if part.first is not None and offset < part.first:
        return Fate(verdict=Verdict.SKIPPED, sentence=f"{gone}, and the group was set to begin after it")
    unless = f", unless it is one of {part.counts.expired:,} that expired before" if part.counts.expired else ""
    sentence = f"{gone}; it was consumed{unless}. Rows keep no offsets: by its id, `trace` finds the row"
    return Fate(verdict=Verdict.CONSUMED, sentence=sentence)


def by_id(
    row_id: str, parts: Iterable[PartitionProgress], tables: Tables, lines: Sequence[LedgerLines], searched: Searched
) -> Fate:
    """Of an id that is in no table and in no record that was read: only what is sure, and what else it may be."""
    read, since = plural(searched.read, "offset"), time_text(searched.since)
    sentence = f"in no table, and in none of the {read} that Kafka has since {since}"
    if tables.removals.explain_ids([row_id], 1):
        sentence += "; `db prune`, `db forget` or `smoke` may have removed it"
    if not any(each.acknowledged for each in lines):
        return Fate(verdict=Verdict.NOWHERE, sentence=sentence + _unknown(lines), next_command=_LONGER)
    sentence = f"Kafka acknowledged it, and now it is {sentence}"
    if tables.cuts:
        cut = tables.cuts[-1]
        sentence += f"; a log of its topic was cut, partition {cut.partition}: {cut.detail}"
        return Fate(verdict=Verdict.CUT, sentence=sentence, next_command=ACCEPT_CUT)
    unstored = sum(part.counts.expired for part in parts if part.partition in searched.beginning_gone)
    if unstored:
        sentence += f"; {unstored:,} offsets there expired before they were stored, and it may be one of them"
        return Fate(verdict=Verdict.EXPIRED, sentence=sentence, next_command=DEEP)
    if searched.beginning_gone:
        sentence += "; part of that time has expired from the log"
    return Fate(verdict=Verdict.NOWHERE, sentence=sentence, next_command=DEEP)


def _unknown(lines: Sequence[LedgerLines]) -> str:
    if any(each.sent for each in lines):
        return "; it was about to be sent, and Kafka did not acknowledge it"
    return "; no ledger has it, either" if lines else "; whether it was ever sent, a producer's ledger knows: --ledger"
