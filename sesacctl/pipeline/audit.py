"""The proof that nothing was lost: every offset is accounted for, by counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sesacctl.database.connections import connect, translated
from sesacctl.pipeline.batch import Counts
from sesacctl.pipeline.deep_audit import DeepAudit, deep_audit
from sesacctl.pipeline.ledger_audit import LedgerAudit, ledger_audit
from sesacctl.pipeline.progress import Progress, progress
from sesacctl.settings import Settings

_TABLES = ("orders", "users", "products")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResult:
    """Totals over all partitions, in offsets; `rows` are the rows in the tables now, from any source.

    `cut` offsets are beyond the end of a log that was truncated: what comes next there would be taken for stored.
    """

    group: str
    ok: bool
    taken: int
    missing: int
    lag: int
    cut: int
    duplicated: int
    counts: Counts
    rows: dict[str, int]
    partitions: list[Progress] = field(default_factory=list)
    deep: DeepAudit | None = None
    ledger: LedgerAudit | None = None


def audit(settings: Settings, *, deep: bool = False, ledgers: Sequence[Path] = ()) -> AuditResult:
    """Hold the counters of every partition against its offsets: next − first = stored + duplicates + dead + … .

    With `deep`, every record below PostgreSQL's offsets is read again and looked up as well; with `ledgers`, every
    event that producers wrote down. `duplicated` is the number of ids that are in their table more than once; a primary
    key keeps it at 0.

    Raises:
        UsageError, CheckFailed: a ledger cannot be read.
        ServerUnreachable, ServerRefused, TopicMissing, SchemaNotAtHead
    """
    partitions = progress(settings)
    counts = Counts()
    for partition in partitions:
        counts.add(partition.counts)
    rows, duplicated = _rows(settings)
    deeper = deep_audit(settings, partitions) if deep else None
    told = ledger_audit(settings, ledgers) if ledgers else None
    missing = sum(abs(partition.missing) for partition in partitions)
    missing += (deeper.missing if deeper else 0) + (told.missing if told else 0)
    cut = sum(partition.cut for partition in partitions)
    return AuditResult(
        group=settings.kafka_group,
        ok=missing == cut == duplicated == 0,
        taken=sum(partition.taken for partition in partitions),
        missing=missing,
        lag=sum(partition.lag for partition in partitions),
        cut=cut,
        duplicated=duplicated,
        counts=counts,
        rows=rows,
        partitions=partitions,
        deep=deeper,
        ledger=told,
    )


def _rows(settings: Settings) -> tuple[dict[str, int], int]:
    connection = connect(settings, command="audit", bound=600)
    try:
        with translated(settings), connection.cursor() as cursor:
            rows, duplicated = {}, 0
            for table in _TABLES:
                key = f"{table[:-1]}_id"
                cursor.execute(f"SELECT count(*), count(DISTINCT {key}) FROM {table}")
                total, distinct = cursor.fetchone()
                rows[table] = total
                duplicated += total - distinct
            return rows, duplicated
    finally:
        connection.close()
