"""sesacctl lag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import options, render
from sesacctl.cli.options import Output, OutputOption

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sesacctl.pipeline.watch.lag import LagReport

app = typer.Typer()


@app.command()
def lag(
    watch: Annotated[float | None, options.duration_option("Refresh interval.", "--watch")] = None,
    window: Annotated[float, options.duration_option("Window for rates.", "--window")] = 2.0,
    group: Annotated[str | None, typer.Option(help="Consumer group.", show_default="KAFKA_GROUP")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Events not stored yet, against PostgreSQL's offsets and Kafka's: how many, whether they shrink, for how long.

    Example: sesacctl lag --watch 5
    """
    settings = options.begin(kafka_group=group)
    from sesacctl.cli.signals import stop_event
    from sesacctl.pipeline.watch.lag import LagMeter

    stop = stop_event()
    if watch is not None:
        meter = LagMeter(settings, window=max(window, watch), first=window)
        render.watch(lambda: meter.read(stop.wait), watch, stop, output, _table)
        return
    render.show(LagMeter(settings, window=window, first=window).read(stop.wait), output, _table)


def _table(report: LagReport) -> RenderableType:
    from rich.console import Group

    from sesacctl.pipeline.sink.log_cuts import stops

    owners = {log: render.member_name(place.member) for place in report.places for log in place.partitions}
    rows = [
        (
            f"{p.topic}-{p.partition}",
            p.log_start,
            p.log_end,
            p.next,
            p.kafka_offset,
            p.lag,
            owners.get((p.topic, p.partition)),
        )
        for p in report.partitions
    ]
    drain = f", gone in {report.drain_seconds:,.0f} s" if report.lag and report.drain_seconds is not None else ""
    title = (
        f"Lag of group {report.group}: {report.lag:,} events, {report.verdict}{drain};"
        f" {report.produced_rate:,.0f}/s produced, {report.stored_rate:,.0f}/s stored"
    )
    grid = render.table(title, ("partition", "log start", "log end", "in PostgreSQL", "in Kafka", "lag", "owner"), rows)
    cuts = (stops(p.topic, p.partition, p.cut_log) for p in report.partitions if p.cut_log)
    return Group(grid, *(render.text(each.sentence) for each in report.held_back), *(render.text(cut) for cut in cuts))
