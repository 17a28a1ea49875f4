"""sesacctl consume."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl import formatting
from sesacctl.cli import options, render, startup
from sesacctl.cli.options import MetricsPortOption, Output, OutputOption, YesOption
from sesacctl.cli.startup import TimeoutOption, WaitOption

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sesacctl.events import Kind
    from sesacctl.pipeline.sink.counts import Counts
    from sesacctl.pipeline.supervise.member import ConsumeReport, InstanceReport
    from sesacctl.settings import Settings

app = typer.Typer()


@app.command()
def consume(
    context: typer.Context,
    instances: Annotated[int, typer.Option("-n", "--instances", min=1, max=100, help="Consumer processes.")] = 9,
    until_empty: Annotated[
        bool, typer.Option("--until-empty", help="Stop when what is in Kafka now has been stored.")
    ] = False,
    max_messages: Annotated[
        int | None, typer.Option(min=1, max=options.MOST, help="Stop after this many events.", show_default="no end")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Reset the group's offsets first, as `offsets reset --to` does.",
            metavar="earliest|latest|TIME|OFFSET",
        ),
    ] = None,
    topics_wanted: Annotated[
        str, typer.Option("--topics", help="Only these, with commas between.", metavar="TOPIC,TOPIC")
    ] = "orders,users,products",
    park_for: Annotated[
        float, options.duration_option("How long an order waits for its user and product.", "--park-for")
    ] = 600.0,
    accept_gap: Annotated[
        bool, typer.Option("--accept-gap", help="Skip records that are gone from Kafka; they are counted as `expired`.")
    ] = False,
    group: Annotated[str | None, typer.Option(help="Consumer group.", show_default="KAFKA_GROUP")] = None,
    wait: WaitOption = False,
    timeout: TimeoutOption = startup.WAIT_SECONDS,
    metrics_port: MetricsPortOption = None,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Store events from Kafka in PostgreSQL, exactly once, with supervised processes.

    The same command on a second machine joins the same group.

    Example: sesacctl consume --instances 9 --until-empty
    """
    settings = options.begin(yes=yes, kafka_group=group)
    seconds = startup.seconds_to_wait(context, settings, wait=wait, timeout=timeout)
    kinds = options.kinds(topics_wanted)
    from sesacctl.cli.signals import stop_event
    from sesacctl.pipeline.audit.until_empty import UntilEmpty
    from sesacctl.pipeline.supervise import prerequisites
    from sesacctl.pipeline.supervise.supervisor import Supervisor
    from sesacctl.pipeline.watch.lag_history import recording
    from sesacctl.pipeline.watch.metric_families import of_consume
    from sesacctl.pipeline.watch.pages import page

    with page(metrics_port, host=settings.sesac_metrics_host) as shown:
        require = partial(prerequisites.require, settings)
        if not startup.wait_for(require, settings, seconds, loop="consume", page=shown):
            return
        if start is not None:
            prerequisites.require(settings)
            _move(settings, kinds, start, yes=yes)
        stop = stop_event()  # not before: Ctrl-C ends the question, too
        supervisor = Supervisor(
            settings,
            instances=instances,
            kinds=kinds,
            park_seconds=park_for,
            accept_gap=accept_gap,
            max_messages=max_messages,
            done=UntilEmpty(settings, kinds) if until_empty else None,
        )
        shown.ready_unless(supervisor.problem)
        with render.reporting(output, _table, _line) as show, recording(settings):

            def on_report(report: ConsumeReport) -> None:
                shown.publish(of_consume(supervisor.everything()))
                show(report)

            report = supervisor.run(stop, on_report=on_report, interval=render.report_seconds())
    render.show(report, output, _table)
    _say_parked(settings, kinds)
    render.next_command("sesacctl audit")


def _say_parked(settings: Settings, kinds: tuple[Kind, ...]) -> None:
    from sesacctl.errors import ServerUnreachable
    from sesacctl.pipeline.consume.parked import count_parked

    try:
        parked = count_parked(settings, kinds)
    except ServerUnreachable:  # it was stopped while PostgreSQL is away: that is not a failure
        return
    if parked:
        orders, whose = ("1 order is", "its") if parked == 1 else (f"{parked:,} orders are", "their")
        render.say(f"{orders} still parked: {whose} user or product has not come yet")


def _move(settings: Settings, kinds: tuple[Kind, ...], start: str, *, yes: bool) -> None:
    from sesacctl.cli import offsets
    from sesacctl.pipeline.repair import reset_offsets
    from sesacctl.pipeline.sink.log_cuts import stops

    moves = reset_offsets.plan(settings, kinds, start)
    for move in moves:
        if move.cut:  # it takes a decision of its own, not one that a restarted service repeats
            raise stops(move.topic, move.partition, move.cut)
    if moves:
        render.show_aside(moves, offsets.table)
        offsets.confirm_and_move(settings, moves, yes=yes)


def _line(report: ConsumeReport) -> str:
    alive = sum(line.pid is not None for line in report.instances)
    waiting = [line.error or "" for line in report.instances if line.state == "waiting"]
    return (
        f"{report.seconds:.0f} s: {alive} of {len(report.instances)} instances, {report.rate:,.0f} events/s,"
        f" {_others(report.totals)}, restarts {report.restarts}"
        + (f", {len(waiting)} waiting: {waiting[0]}" if waiting else "")
    )


def _table(report: ConsumeReport) -> RenderableType:
    from rich.console import Group

    running = any(line.pid is not None for line in report.instances)
    rate = f"{report.rate:,.0f}/s now" if running else f"{report.events / max(report.seconds, 0.001):,.0f}/s"
    columns = ("n", "partitions", "state", "rows/s", "stored", "lag", "restarts", "memory")
    lines = [f"Consumed {report.events:,} events in {report.seconds:.1f} s, {rate}", _others(report.totals)]
    if report.latency_p50_ms is not None:
        latency = (report.latency_p50_ms, report.latency_p95_ms, report.latency_p99_ms)
        ages = "/".join(f"{ms:,.0f}" for ms in latency if ms is not None)
        lines.append(f"age of the records at their COMMIT p50/p95/p99 {ages} ms")  # of a backlog, how old that was
    if report.since_read_ms is not None:
        parts = ", ".join(f"{part.replace('_', ' ')} {ms:,.1f}" for part, ms in report.step_ms.items())
        lines.append(f"{report.since_read_ms:,.1f} ms of it since they were read, on average; of a step: {parts} ms")
    lines += [f"instance {line.instance}: {line.error}" for line in report.instances if line.error]
    table = render.table("Consumers", columns, [_row(line) for line in report.instances])
    return Group(table, *(render.text(line) for line in lines))


def _others(totals: Counts) -> str:
    return (
        f"stored {totals.stored:,}, duplicates {totals.duplicates:,}, dead letters {totals.dead:,},"
        f" parked {totals.parked:,}, with unknown fields {totals.unknown_fields:,}"
    )


def _row(line: InstanceReport) -> tuple[object, ...]:
    return (
        line.instance,
        " ".join(sorted(line.partitions)),
        line.state,
        round(line.rate),
        line.counts.stored,
        line.lag,
        line.restarts,
        formatting.bytes_text(line.max_rss_bytes),
    )
