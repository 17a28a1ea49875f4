"""sesacctl health."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from sesacctl.cli import options, render
from sesacctl.cli.options import Output, OutputOption
from sesacctl.errors import CheckFailed, ServerUnreachable

if TYPE_CHECKING:
    from rich.table import Table

    from sesacctl.pipeline.health import Health

app = typer.Typer()
_STYLES = {"ok": "green", "unhealthy": "bold yellow", "down": "bold red"}


@app.command()
def health(output: OutputOption = Output.TABLE) -> None:
    """One line per server and one for the loop. Exits 4 if a server is down, 5 if something is unhealthy.

    Example: sesacctl health -o json
    """
    settings = options.begin()
    from sesacctl.pipeline.health import Verdict
    from sesacctl.pipeline.health import health as health_service

    result = health_service(settings)
    render.show(result, output, _table)
    bad = [check for check in result.checks if check.verdict is result.verdict]
    names = ", ".join(check.name for check in bad)
    if result.verdict is Verdict.DOWN:
        raise ServerUnreachable(f"down: {names}", hint=bad[0].next)
    if result.verdict is Verdict.UNHEALTHY:
        raise CheckFailed(f"unhealthy: {names}", hint=bad[0].next)


def _table(result: Health) -> Table:
    rows = [
        (check.name, render.text(check.verdict, _STYLES[check.verdict]), check.evidence, check.next)
        for check in result.checks
    ]
    return render.table("Health", ("", "verdict", "evidence", "next command"), rows)
