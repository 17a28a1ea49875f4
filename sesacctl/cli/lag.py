"""sesacctl lag."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl import formatting
from sesacctl.cli import options, render
from sesacctl.cli.options import Output, OutputOption
from sesacctl.errors import UsageError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sesacctl.pipeline.watch.lag import LagReport
    from sesacctl.pipeline.watch.lag_history import LagHistory

app = typer.Typer()

_BARS = 30
_GAPS_SHOWN = 5


@app.command()
def lag(
    context: typer.Context,
    watch: Annotated[float | None, options.duration_option("Refresh interval.", "--watch")] = None,
    window: Annotated[float, options.duration_option("Window for rates.", "--window")] = 2.0,
    history: Annotated[
        float | None,
        options.duration_option("Show what it has been for so long.", "--history"),
    ] = None,
    group: Annotated[str | None, typer.Option(help="Consumer group.", show_default="KAFKA_GROUP")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Events not stored yet, against PostgreSQL's offsets and Kafka's: how many, whether they shrink, for how long.

    An event counts if it was in Kafka when Kafka was asked, and not in PostgreSQL, which is asked after that.

    With --history no server is asked: while `consume` runs on this host it keeps a sample every ten seconds, for a day.

    Examples: sesacctl lag --watch 5 · sesacctl lag --history 30m
    """
    if history is not None and (other := options.given(context, "watch", "window")):
        raise UsageError(f"--history cannot be combined with {other}", hint="sesacctl lag --help")
    settings = options.begin(kafka_group=group)
    if history is not None:
        from sesacctl.pipeline.watch.lag_history import read_history

        render.show(read_history(settings, history), output, _history)
        return
    from sesacctl.cli.signals import stop_event
    from sesacctl.pipeline.watch.lag import LagMeter

    stop = stop_event()
    if watch is not None:
        meter = LagMeter(settings, window=max(window, watch), first=window)
        render.watch(lambda: meter.read(stop.wait), watch, stop, output, _table)
        return
    render.show(LagMeter(settings, window=window, first=window).read(stop.wait), output, _table)


def _history(found: LagHistory) -> RenderableType:
    from rich.console import Group

    rows = []
    for kind in found.samples[-1].lag:
        values = [sample.lag[kind] for sample in found.samples]
        buckets = _buckets(found, [sample.lag[kind] for sample in found.samples])
        rows.append((kind, min(values), max(values), values[-1], render.sparkline(buckets)))
    begin, end = (formatting.time_text(at) for at in (found.begin, found.end))
    title = f"Lag of group {found.group}, {begin} to {end}: {formatting.plural(len(found.samples), 'sample')},"
    title += f" the last of {formatting.time_text(found.samples[-1].at)}"
    grid = render.table(title, ("topic", "least", "most", "last", "trend"), rows)
    lines = [
        f"no sample {formatting.time_text(gap.begin)} to {formatting.time_text(gap.end)}:"
        " no supervisor sampled on this host, or a server was away"
        for gap in found.gaps[-_GAPS_SHOWN:]
    ]
    if len(found.gaps) > _GAPS_SHOWN:
        lines.insert(0, f"{len(found.gaps) - _GAPS_SHOWN} earlier gaps: -o json has all")
    return Group(grid, *(render.text(line) for line in lines))


def _buckets(found: LagHistory, values: list[int]) -> list[int | None]:
    """The most in each of equal parts of the time; None where there is no sample."""
    whole = (found.end - found.begin).total_seconds()
    count = max(1, min(_BARS, int(whole / found.every)))
    buckets: list[int | None] = [None] * count
    for sample, value in zip(found.samples, values, strict=True):
        place = min(count - 1, int((sample.at - found.begin).total_seconds() / whole * count))
        buckets[place] = max(value, buckets[place] or 0)
    return buckets


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
