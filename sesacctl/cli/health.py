"""sesacctl health."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import junit, options, render
from sesacctl.cli.junit import Case, CheckOutput, CheckOutputOption
from sesacctl.errors import CheckFailed, ServerUnreachable, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from sesacctl.pipeline.watch.health import Health

app = typer.Typer()
_STYLES = {"ok": "green", "unknown": "dim", "warning": "yellow", "unhealthy": "bold yellow", "down": "bold red"}


@app.command()
def health(
    context: typer.Context,
    live: Annotated[
        bool, typer.Option("--live", help="Liveness only: check this machine's heartbeats, contact no server.")
    ] = False,
    ready: Annotated[
        bool, typer.Option("--ready", help="Readiness only: the servers, the schema and the topics.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Wait until everything is healthy, at most --timeout.")] = False,
    timeout: Annotated[float, options.duration_option("How long to wait.", "--timeout")] = 60.0,
    output: CheckOutputOption = CheckOutput.TABLE,
) -> None:
    """What works, what does not, and the command to run next. Exits 4 if a server is down, 5 if something is unhealthy.

    Examples: sesacctl health · sesacctl health --ready --wait --timeout 2m · sesacctl health -o junit
    """
    if live:
        from sesacctl.cli.live import live as live_service

        if options.given(context, "ready", "wait", "timeout", "output"):
            raise UsageError("--live cannot be combined with other options", hint="sesacctl health --live")
        live_service()
        return
    if not wait and options.given(context, "timeout"):
        raise UsageError("--timeout requires --wait", hint="sesacctl health --wait --timeout 2m")
    settings = options.begin()
    from sesacctl.cli.signals import stop_event
    from sesacctl.pipeline.watch import health as service
    from sesacctl.pipeline.watch.checks import Verdict

    if wait:
        result = service.wait_healthy(
            settings,
            seconds=timeout,
            only_servers=ready,
            stop=stop_event(),
            on_wait=lambda names: render.say(f"waiting for {names}"),
        )
    else:
        result = service.health(settings, only_servers=ready)
    junit.show(result, output, _table, _cases, suite="health")
    bad = [check for check in result.checks if check.verdict is result.verdict]
    names = ", ".join(check.name for check in bad)
    if result.verdict is Verdict.DOWN:
        raise ServerUnreachable(f"down: {names}", hint=bad[0].next)
    if result.verdict is Verdict.UNHEALTHY:
        raise CheckFailed(f"unhealthy: {names}", hint=bad[0].next)


def _cases(result: Health) -> list[Case]:
    bad = ("unhealthy", "down")
    return [
        Case(
            name=check.name,
            evidence=f"{check.verdict}: {check.evidence}",
            failure=junit.with_hint(f"{check.verdict}: {check.evidence}", check.next) if check.verdict in bad else None,
            skipped=check.verdict == "unknown",
        )
        for check in result.checks
    ]


def _table(result: Health) -> Table:
    rows = [
        (check.name, render.text(check.verdict, _STYLES[check.verdict]), check.evidence, check.next)
        for check in result.checks
    ]
    return render.table("Health", ("", "verdict", "evidence", "next command"), rows)
