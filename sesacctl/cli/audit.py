"""sesacctl audit."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import options, render
from sesacctl.cli.options import Output, OutputOption
from sesacctl.errors import CheckFailed

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from sesacctl.pipeline.audit import AuditResult
    from sesacctl.pipeline.deep_audit import DeepAudit
    from sesacctl.pipeline.ledger_audit import LedgerAudit

app = typer.Typer()


@app.command()
def audit(
    group: Annotated[str | None, typer.Option(help="Consumer group.", show_default="KAFKA_GROUP")] = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read the topics again, and look up every event in PostgreSQL.")
    ] = False,
    ledger: Annotated[
        list[Path] | None, typer.Option(help="Hold what `produce --ledger` wrote against PostgreSQL, too.")
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Prove that nothing was lost or stored twice: every offset is accounted for. Exits 5 if not.

    Example: sesacctl audit --deep
    """
    settings = options.begin(kafka_group=group)
    from sesacctl.pipeline.audit import audit as audit_service

    result = audit_service(settings, deep=deep, ledgers=ledger or ())
    render.show(result, output, _tables)
    if result.missing or result.duplicated:
        raise CheckFailed(
            f"{result.missing} offsets are not accounted for, {result.duplicated} ids are stored more than once",
            hint="sesacctl lag",
        )
    if result.cut:
        raise CheckFailed(
            f"{result.cut} stored offsets are beyond the end of their log: it was cut, and new ones would be skipped",
            hint="restore the topic, or sesacctl consume --from latest",
        )


def _tables(result: AuditResult) -> RenderableType:
    from rich.console import Group

    tables = [_totals(result)]
    if result.deep:
        tables.append(_deep(result.deep))
    if result.ledger:
        tables.append(_ledger(result.ledger))
    return Group(*tables)


def _ledger(found: LedgerAudit) -> Table:
    rows: list[tuple[str, object]] = [
        ("acknowledged", found.acknowledged),
        ("  stored", found.stored),
        ("  missing", found.missing),
        ("sent, never acknowledged", found.unacknowledged),
        ("  stored all the same", found.unacknowledged_stored),
        ("stored more than once", found.doubled),
        ("orders stored, in no ledger", found.unknown),
    ]
    return render.table("Ledger", ("", "events"), rows + [("wrong", name) for name in found.named])


def _deep(deep: DeepAudit) -> Table:
    rows: list[tuple[str, object]] = [
        ("records read again", deep.read),
        ("  in their table", deep.found),
        ("  dead letters or parked", deep.kept),
        ("  missing", deep.missing),
        ("expired, cannot be read", deep.expired),
        ("cut off the log, cannot be read", deep.cut),
    ]
    rows += [(f"missing: {event.position}", event.id or "(cannot be decoded)") for event in deep.named]
    return render.table("Every event looked up", ("", "events"), rows)


def _totals(result: AuditResult) -> Table:
    """A column per topic, a row per figure; the verdict in the title."""
    from sesacctl.pipeline.batch import COUNTERS, Counts

    kinds = list(result.rows)
    totals = {kind: Counts() for kind in kinds}
    taken, missing, lag = Counter[str](), Counter[str](), Counter[str]()
    for part in result.partitions:
        totals[part.kind].add(part.counts)
        taken[part.kind] += part.taken
        missing[part.kind] += part.missing
        lag[part.kind] += part.lag
    figures: list[tuple[str, list[int]]] = [("offsets moved over", [taken[kind] for kind in kinds])]
    figures += [(f"  {name}", [getattr(totals[kind], name) for kind in kinds]) for name in COUNTERS]
    figures += [
        ("missing", [missing[kind] for kind in kinds]),
        ("not stored yet (lag)", [lag[kind] for kind in kinds]),
        ("rows in the table", [result.rows[kind] for kind in kinds]),
    ]
    verdict = "nothing lost" if result.ok else "FAILED"
    title = f"Audit of group {result.group}: {verdict}; {result.missing} missing, {result.duplicated} duplicated"
    return render.table(title, ("", *kinds, "total"), [(name, *row, sum(row)) for name, row in figures])
