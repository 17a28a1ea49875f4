"""sesacctl consume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import options, render
from sesacctl.cli.options import Output, OutputOption

if TYPE_CHECKING:
    from rich.table import Table

    from sesacctl.pipeline.members import ConsumeReport

app = typer.Typer()


@app.command()
def consume(
    instances: Annotated[int, typer.Option("-n", "--instances", min=1, max=100, help="Consumer processes.")] = 9,
    until_empty: Annotated[
        bool, typer.Option("--until-empty", help="Stop when what is in Kafka now has been stored.")
    ] = False,
    max_messages: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many events.", show_default="no end")
    ] = None,
    park_for: Annotated[
        float, options.duration_option("How long an order waits for its user and product.", "--park-for")
    ] = 600.0,
    accept_gap: Annotated[
        bool, typer.Option("--accept-gap", help="Go on past records that have expired, and count them.")
    ] = False,
    group: Annotated[str | None, typer.Option(help="Consumer group.", show_default="KAFKA_GROUP")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Store events from Kafka in PostgreSQL, exactly once, with supervised processes.

    Example: sesacctl consume --instances 9 --until-empty
    """
    settings = options.begin(kafka_group=group)
    from sesacctl.broker import topics
    from sesacctl.cli.signals import stop_event
    from sesacctl.database import schema
    from sesacctl.pipeline.progress import UntilEmpty
    from sesacctl.pipeline.supervise import Supervisor

    stop = stop_event()
    schema.require_head(settings)
    topics.require(settings)
    supervisor = Supervisor(
        settings,
        instances=instances,
        park_seconds=park_for,
        accept_gap=accept_gap,
        max_messages=max_messages,
        done=UntilEmpty(settings) if until_empty else None,
    )
    report = supervisor.run(stop, on_report=_progress)
    render.show(report, output, _summary)
    if report.totals.parked > 0:
        render.say(f"{report.totals.parked} orders are still parked: their user or product has not come yet")
    render.next_command("sesacctl audit")


def _progress(report: ConsumeReport) -> None:
    totals, alive = report.totals, sum(line.pid is not None for line in report.instances)
    waiting = sorted({line.error or "" for line in report.instances if line.state == "waiting"})
    render.say(
        f"{report.seconds:.0f} s: {alive} of {len(report.instances)} instances, {report.rate:,.0f} events/s, stored"
        f" {totals.stored:,}, duplicates {totals.duplicates:,}, dead {totals.dead:,}, parked {totals.parked:,},"
        f" restarts {report.restarts}" + (f", waiting: {waiting[0]}" if waiting else "")
    )


def _summary(report: ConsumeReport) -> Table:
    rows = [
        (
            line.instance,
            " ".join(sorted(line.partitions)),
            line.counts.stored,
            line.counts.duplicates,
            line.counts.dead,
            line.counts.parked,
            line.restarts,
            f"{line.max_rss_bytes / 1e6:.0f} MB",
        )
        for line in report.instances
    ]
    title = (
        f"Consumed {report.events:,} events in {report.seconds:.1f} s; record to COMMIT p50 / p95 / p99:"
        f" {report.latency_p50_ms} / {report.latency_p95_ms} / {report.latency_p99_ms} ms"
    )
    columns = ("instance", "partitions", "stored", "duplicates", "dead", "parked", "restarts", "memory")
    return render.table(title, columns, rows)
