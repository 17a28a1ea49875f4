"""sesacctl audit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import audit_views, junit, options
from sesacctl.cli.audit_checks import checks
from sesacctl.cli.junit import Case, CheckOutput, CheckOutputOption
from sesacctl.errors import CheckFailed

if TYPE_CHECKING:
    from sesacctl.pipeline.audit.report import AuditResult
    from sesacctl.settings import Settings

app = typer.Typer()


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
    output: CheckOutputOption = CheckOutput.TABLE,
) -> None:
    """Account for every consumed offset, and compare the rows with the counters. Exits 5 if something is missing.

    It proves that no id is in its table twice, and that there are at least as many rows as were stored. Rows from
    elsewhere (SQL, the library) could hide as many that are gone; --deep looks for each row by its event in Kafka.

    Examples: sesacctl audit --deep · sesacctl audit -o junit
    """
    settings = options.begin(kafka_group=group)
    from sesacctl.pipeline.audit.report import audit as audit_service

    with junit.errors_reported(output, suite="audit"):
        result = audit_service(settings, deep=deep, values=values, ledgers=ledger or ())
    junit.show(result, output, audit_views.tables, lambda found: _cases(found, settings), suite="audit")
    require_clean(result, settings)


def require_clean(result: AuditResult, settings: Settings) -> None:
    """Return if nothing is wrong.

    Raises:
        CheckFailed: what is, and what to do about the worst of it.
    """
    if not result.ok:
        wrong = [check for check in checks(result, settings) if check.problem]
        raise CheckFailed("; ".join(str(check.problem) for check in wrong), hint=wrong[0].hint)


def _cases(result: AuditResult, settings: Settings) -> list[Case]:
    return [
        Case(name=each.name, evidence=each.evidence, failure=each.problem and junit.with_hint(each.problem, each.hint))
        for each in checks(result, settings)
    ]
