"""The proof that nothing was lost: every offset is accounted for, by counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sesacctl.broker import topics
from sesacctl.broker.transactions import OpenTransaction
from sesacctl.pipeline.audit.deep import DeepAudit, deep_audit
from sesacctl.pipeline.audit.ledgers import LedgerAudit, ledger_audit, read_ledgers
from sesacctl.pipeline.audit.log_identity import LOOK_SECONDS, find_cuts
from sesacctl.pipeline.audit.partitions import PartitionProgress, held_back, read_partitions
from sesacctl.pipeline.audit.row_counts import count_rows
from sesacctl.pipeline.sink.counts import Counts
from sesacctl.pipeline.sink.log_cuts import CutLog
from sesacctl.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class CutPartition:
    """A partition whose log is not the one that was stored."""

    topic: str
    partition: int
    cut: CutLog


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditResult:
    """Totals over all partitions, in offsets; `rows` are the rows in the tables now, from any source.

    `missing` are offsets that no counter accounts for, events that the deep audit found in no table, and acknowledged
    ones that are nowhere. `cuts` are the logs that are not those that were stored, `cut` the stored offsets that are
    beyond the end of one. For each table, at least `gone` rows that were stored are there no longer, and at least
    `elsewhere` rows came neither from the sink nor from `db seed`: as many more may be gone. `pruned` orders
    went lawfully, by age; the rows of `forgotten` users have nothing personal. `held_back` is the part of
    the lag that cannot be read yet; `unsafe` are settings of topics with which Kafka may lose acknowledged records.
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
    gone: dict[str, int]
    elsewhere: dict[str, int]
    pruned: int
    forgotten: int
    cuts: list[CutPartition] = field(default_factory=list)
    unsafe: list[str] = field(default_factory=list)
    held_back: list[OpenTransaction] = field(default_factory=list)
    partitions: list[PartitionProgress] = field(default_factory=list)
    deep: DeepAudit | None = None
    ledger: LedgerAudit | None = None


def audit(settings: Settings, *, deep: bool = False, values: bool = False, ledgers: Sequence[Path] = ()) -> AuditResult:
    """Compare the counters of every partition with its offsets, and the rows of every table with the counters.

    next − first = stored + duplicates + dead + … ; rows ≥ stored, by all groups, and lawful changes. The last stored
    record of each log is read again: the offset alone would not tell that one was cut and has grown again. With `deep`,
    every record below PostgreSQL's offsets is read again and looked up; with `values`, its row's columns that never
    change are compared, too; with `ledgers`, every event that producers wrote down is looked up. `duplicated` is the
    number of ids that are in their table more than once; a primary key keeps it at 0.

    Raises:
        UsageError: a ledger cannot be read.
        CheckFailed: a file is not a ledger.
        ServerUnreachable: a server cannot be reached.
        ServerRefused: a server refused: wrong credentials or a missing right.
        TopicMissing: one of the topics does not exist.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    written_down = read_ledgers(ledgers)  # first: what is acknowledged later would be no part of the lag
    partitions = read_partitions(settings)
    counts = Counts()
    for partition in partitions:
        counts.add(partition.counts)
    cuts = find_cuts(settings, partitions, seconds=LOOK_SECONDS)
    tables, lawful = count_rows(settings)
    deeper = deep_audit(settings, partitions, values=values) if deep or values else None
    told = ledger_audit(settings, written_down) if ledgers else None
    missing = sum(abs(partition.missing) for partition in partitions)  # one too many does not make up for one too few
    missing += (deeper.missing if deeper else 0) + (told.missing if told else 0)
    cut = sum(partition.cut for partition in partitions)
    duplicated = sum(table.duplicated for table in tables.values())
    gone: dict[str, int] = {kind: table.gone for kind, table in tables.items()}
    wrong = (deeper.different if deeper else 0) + (told.doubled if told else 0) + sum(gone.values())
    return AuditResult(
        group=settings.kafka_group,
        ok=missing == cut == duplicated == wrong == len(cuts) == 0,
        taken=sum(partition.taken for partition in partitions),
        missing=missing,
        lag=sum(partition.lag for partition in partitions),
        cut=cut,
        duplicated=duplicated,
        counts=counts,
        rows={kind: table.rows for kind, table in tables.items()},
        gone=gone,
        elsewhere={kind: table.elsewhere for kind, table in tables.items()},
        pruned=lawful.pruned,
        forgotten=lawful.forgotten,
        cuts=[
            CutPartition(topic=part.topic, partition=part.partition, cut=cuts[part.key])
            for part in partitions
            if part.key in cuts
        ],
        unsafe=topics.unsafe(settings),
        held_back=held_back(settings, partitions),
        partitions=partitions,
        deep=deeper,
        ledger=told,
    )
