"""What an audit checks, one by one: what each rests on, what is wrong, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sesacctl.cli import advice
from sesacctl.errors import LogCut
from sesacctl.formatting import plural

if TYPE_CHECKING:
    from sesacctl.pipeline.audit.deep import DeepAudit
    from sesacctl.pipeline.audit.ledgers import LedgerAudit
    from sesacctl.pipeline.audit.report import AuditResult
    from sesacctl.settings import Settings

_AGAIN = "restore them, or consume them again: sesacctl offsets reset --to earliest --dry-run"


@dataclass(frozen=True, slots=True)
class AuditCheck:
    """`problem` is None if there is none; then `hint` says nothing."""

    name: str
    evidence: str
    problem: str | None
    hint: str


def checks(result: AuditResult, settings: Settings) -> Iterator[AuditCheck]:
    """All that was checked; of what is wrong, the worst first."""
    cuts = "; ".join(f"{each.topic}-{each.partition}: {each.cut.detail}" for each in result.cuts)
    partitions = plural(len(result.partitions), "partition")
    yield AuditCheck("the logs are those that were stored", partitions, cuts or None, str(LogCut.default_hint))
    uncounted = sum(abs(part.missing) for part in result.partitions)
    counted = f"{uncounted} offsets are not accounted for, {result.duplicated} ids are stored more than once"
    wrong = counted if uncounted or result.duplicated else None
    evidence = f"{plural(result.taken, 'offset')} processed, {result.lag} not stored yet"
    yield AuditCheck("each offset is accounted for, each id stored once", evidence, wrong, "sesacctl lag")
    gone = ", ".join(f"{number:,} from {table}" for table, number in result.gone.items() if number)
    wrong = f"rows that were stored are gone, at least {gone}" if gone else None
    evidence = ", ".join(f"{number:,} rows in {table}" for table, number in result.rows.items())
    yield AuditCheck("rows that were stored are there", evidence, wrong, _AGAIN)
    if result.deep:
        yield from _deep(result.deep)
    if result.ledger:
        yield from _ledger(result.ledger, result.lag, settings)


def _deep(deep: DeepAudit) -> Iterator[AuditCheck]:
    gone = plural(deep.missing, "consumed event is", "consumed events are")
    wrong = f"{gone} in no table and not kept either" if deep.missing else None
    evidence = f"{plural(deep.read, 'record')} read again, {deep.found} found, {deep.kept} kept"
    yield AuditCheck("each consumed event is a row or is kept", evidence, wrong, _AGAIN)
    if deep.different or deep.compared:
        wrong = f"{plural(deep.different, 'row is', 'rows are')} not as the event in Kafka" if deep.different else None
        hint = "restore the values that the events have: sesacctl audit --values -o json"
        compared = f"{sum(map(len, deep.compared.values()))} columns compared"
        yield AuditCheck("the columns of orders are those of their events", compared, wrong, hint)


def _ledger(ledger: LedgerAudit, lag: int, settings: Settings) -> Iterator[AuditCheck]:
    behind = f", while {plural(lag, 'offset is', 'offsets are')} not stored yet" if lag else ""
    gone = f"{plural(ledger.missing, 'acknowledged event is', 'acknowledged events are')} nowhere{behind}"
    hint = f"{advice.store_the_rest(settings)}, then the same command again" if lag else _AGAIN
    evidence = f"{plural(ledger.acknowledged, 'acknowledged event')}, {ledger.stored} stored"
    yield AuditCheck("each acknowledged event is stored or kept", evidence, gone if ledger.missing else None, hint)
    wrong = f"{plural(ledger.doubled, 'event')} of the ledger stored more than once" if ledger.doubled else None
    hint = "look for rows with the same id; the primary key is not there"
    yield AuditCheck("no event of the ledger is stored twice", evidence, wrong, hint)
