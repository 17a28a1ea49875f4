"""sesacctl smoke."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import options, render
from sesacctl.cli.options import Output, OutputOption, YesOption
from sesacctl.errors import CheckFailed
from sesacctl.formatting import plural

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sesacctl.pipeline.smoke import SmokeReport

app = typer.Typer()


@app.command()
def smoke(
    orders: Annotated[int, typer.Option(min=1, max=1_000, help="How many orders to send.")] = 10,
    timeout: Annotated[float, options.duration_option("How long all of it may take.", "--timeout")] = 60.0,
    yes: YesOption = False,
    group: Annotated[str | None, typer.Option(help="Consumer group.", show_default="KAFKA_GROUP")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Send a few orders of a new user through a running loop, time each hop, and remove them.

    For CI and alerts: it exits 5 if an order is missing. Consumers must be running. The user is named `sesacctl smoke`,
    with an id that begins with `smoke-`. The records stay in Kafka until they expire; consumed again, they come to
    nothing.

    Example: sesacctl smoke --timeout 30s
    """
    settings = options.begin(yes=yes, kafka_group=group)
    from sesacctl.cli.signals import stop_event
    from sesacctl.pipeline.smoke import smoke as smoke_service

    stop = stop_event()
    with render.steps("smoke") as on_step:
        report = smoke_service(settings, orders=orders, timeout=timeout, stop=stop, on_step=on_step)
    render.show(report, output, _table)
    if report.wrong:
        raise CheckFailed(f"{len(report.wrong)} orders were not stored as they were sent", hint="sesacctl audit --deep")
    if not report.ok:
        first = next(iter(report.not_stored), None)
        why = f"; {first.id} is {first.verdict}: {first.sentence}" if first else ""
        raise CheckFailed(
            f"{report.sent - report.stored} of {report.sent} orders were not stored in time{why}",
            hint="sesacctl health",
        )


def _table(report: SmokeReport) -> RenderableType:
    from rich.console import Group

    rows = [(hop.hop, hop.count, _milliseconds(hop.median_ms), _milliseconds(hop.longest_ms)) for hop in report.hops]
    grid = render.table(f"Smoke test, user {report.user_id}", ("hop", "events", "median", "longest"), rows)
    removed = report.removed
    lines = [
        f"{plural(report.sent, 'order')} sent, {report.acknowledged} acknowledged,"
        f" {report.stored} stored once and unchanged",
        f"removed again: {plural(removed.orders, 'order')}, {plural(removed.users, 'user')},"
        f" {plural(removed.parked, 'parked event')}",
        *(f"{each.id}: {each.verdict}: {each.sentence}" for each in report.not_stored),
    ]
    return Group(grid, *(render.text(line) for line in lines))


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} ms"
