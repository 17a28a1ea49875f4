"""sesacctl audit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl import formatting
from sesacctl.cli import advice, audit_views, options, render
from sesacctl.cli.options import Output, OutputOption
from sesacctl.errors import CheckFailed, LogCut

if TYPE_CHECKING:
    from sesacctl.pipeline.audit.deep import DeepAudit
    from sesacctl.pipeline.audit.ledgers import LedgerAudit
    from sesacctl.pipeline.audit.report import AuditResult
    from sesacctl.settings import Settings

app = typer.Typer()
_AGAIN = "restore them, or consume them again: sesacctl offsets reset --to earliest --dry-run"


_DEEP = (
    "Read the topics again: each consumed record that is still in Kafka is a row, by its id, or is kept byte for byte"
    " as a dead letter or parked event."
)
_VALUES = (
    "As --deep, and the columns of an order that never change equal its event's. Any column of users and products may"
    " be changed lawfully: of these, the ids are looked up."
)
_LEDGER = (
    "Also check what `produce --ledger` wrote: each acknowledged event is a row, once, or is kept as a dead letter or"
    " parked event."
)


@app.command()
def audit(
    group: Annotated[str | None, typer.Option(help="Consumer group.", show_default="KAFKA_GROUP")] = None,
    deep: Annotated[bool, typer.Option("--deep", help=_DEEP)] = False,
    values: Annotated[bool, typer.Option("--values", help=_VALUES)] = False,
    ledger: Annotated[list[Path] | None, typer.Option(help=_LEDGER)] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Account for every consumed offset, and compare the rows with the counters. Exits 5 if something is missing.

    It proves that no id is in its table twice, and that there are at least as many rows as were stored. Rows from
    elsewhere (SQL, the library) could hide as many that are gone; --deep looks for each row by its event in Kafka.

    Example: sesacctl audit --deep
    """
    settings = options.begin(kafka_group=group)
    from sesacctl.pipeline.audit.report import audit as audit_service

    result = audit_service(settings, deep=deep, values=values, ledgers=ledger or ())
    render.show(result, output, audit_views.tables)
    require_clean(result, settings)


def require_clean(result: AuditResult, settings: Settings) -> None:
    """Return if nothing is wrong.

    Raises:
        CheckFailed: what is, and what to do about the worst of it.
    """
    if not result.ok:
        problems, hints = zip(*_problems(result, settings), strict=True)
        raise CheckFailed("; ".join(problems), hint=hints[0])


def _problems(result: AuditResult, settings: Settings) -> Iterator[tuple[str, str]]:
    """What is wrong, and what to do about it; the worst first."""
    for each in result.cuts:
        yield f"{each.topic}-{each.partition}: {each.cut.detail}", str(LogCut.default_hint)
    uncounted = sum(abs(part.missing) for part in result.partitions)
    if uncounted or result.duplicated:
        yield (
            f"{uncounted} offsets are not accounted for, {result.duplicated} ids are stored more than once",
            "sesacctl lag",
        )
    if gone := [f"{number:,} from {table}" for table, number in result.gone.items() if number]:
        yield (f"rows that were stored are gone, at least {', '.join(gone)}", _AGAIN)
    if result.deep:
        yield from _deep_problems(result.deep)
    if result.ledger:
        yield from _ledger_problems(result.ledger, result.lag, settings)


def _deep_problems(deep: DeepAudit) -> Iterator[tuple[str, str]]:
    if deep.missing:
        yield (
            f"{formatting.plural(deep.missing, 'consumed event is', 'consumed events are')} in no table"
            " and not kept either",
            _AGAIN,
        )
    if deep.different:
        yield (
            f"{formatting.plural(deep.different, 'row is', 'rows are')} not as the event in Kafka",
            "restore the values that the events have: sesacctl audit --values -o json",
        )


def _ledger_problems(ledger: LedgerAudit, lag: int, settings: Settings) -> Iterator[tuple[str, str]]:
    if ledger.missing:
        behind = f", while {formatting.plural(lag, 'offset is', 'offsets are')} not stored yet" if lag else ""
        yield (
            f"{formatting.plural(ledger.missing, 'acknowledged event is', 'acknowledged events are')} nowhere{behind}",
            f"{advice.store_the_rest(settings)}, then the same command again" if lag else _AGAIN,
        )
    if ledger.doubled:
        yield (
            f"{formatting.plural(ledger.doubled, 'event', 'events')} of the ledger stored more than once",
            "look for rows with the same id; the primary key is not there",
        )
