"""sesacctl top."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from sesacctl import formatting
from sesacctl.cli import options, render
from sesacctl.cli.options import Output, OutputOption

if TYPE_CHECKING:
    from sesacctl.pipeline.watch.top import HostShare, Screen, Stage

app = typer.Typer()

_CELL = 8
_HOSTS = 6  # so many lines there is room for
# Seven stages and the names of the lines side by side.
_WIDE = 80


@app.command()
def top(
    once: Annotated[bool, typer.Option("--once", help="Sample twice, print one screen, exit.")] = False,
    every: Annotated[float, options.duration_option("Refresh interval.", "--every")] = 2.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """The whole loop on one screen: rate, age, backlog and trend of every stage, and the bottleneck named.

    Examples: sesacctl top · sesacctl top --once -o json
    """
    settings = options.begin()
    from sesacctl.cli.signals import stop_event
    from sesacctl.pipeline.watch.top import Top

    looks, stop = Top(settings), stop_event()
    if once:
        looks.run_once()
        stop.wait(every)
        render.show(looks.run_once(), output, Board)
    else:
        render.watch(looks.run_once, every, stop, output, Board)


class Board:
    """The screen: a column a stage, or a line a stage on a narrow terminal."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Rich's protocol."""
        screen = self._screen
        head = Text("sesacctl top", "bold")
        head.append(f"  {screen.at.astimezone():%H:%M:%S}  ", "dim")
        head.append(render.text(f"database {screen.database}, group {screen.group}", "dim"))
        head.truncate(options.max_width, overflow="ellipsis")
        yield head
        yield self._columns() if options.max_width >= _WIDE else self._lines()
        name = next((stage.title for stage in screen.stages if stage.key == screen.bottleneck), None)
        if name:
            yield Text.assemble(("bottleneck: ", "dim"), (name, "bold yellow"), ": ", render.text(screen.reason))
        else:
            yield Text.assemble(("bottleneck: ", "dim"), ("none", "green"), f", {screen.reason}")
        hosts = screen.hosts or []
        for share in hosts[:_HOSTS]:
            yield _host(share, options.max_width)
        if len(hosts) > _HOSTS:
            yield Text(f"and {formatting.plural(len(hosts) - _HOSTS, 'host')} more", "dim")

    def _columns(self) -> Table:
        table = Table(box=SIMPLE, padding=0, pad_edge=False, collapse_padding=True)
        table.add_column(width=7)
        for stage in self._screen.stages:
            table.add_column(self._title(stage), justify="right", width=_CELL + 1)
        lines = {"rate/s": _rate, "of": lambda stage: stage.unit, "age": _age, "backlog": _backlog, "trend": _trend}
        for name, cell in lines.items():
            table.add_row(render.text(name, "dim"), *(cell(stage) for stage in self._screen.stages))
        kinds = (stage.backlog_unit if stage.backlog is not None else "" for stage in self._screen.stages)
        table.add_row("", *(Text(kind, "dim") for kind in kinds))
        return table

    def _lines(self) -> Table:
        table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
        table.add_column(width=_CELL)
        for name in ("rate/s", "age", "backlog"):
            table.add_column(name, justify="right", width=_CELL - 1)
        table.add_column(overflow="ellipsis", no_wrap=True)
        for stage in self._screen.stages:
            kind = Text(stage.backlog_unit if stage.backlog is not None else "", "dim")
            table.add_row(self._title(stage), _rate(stage), _age(stage), _backlog(stage), kind)
        return table

    def _title(self, stage: Stage) -> Text:
        if stage.problem:
            return Text(stage.title, "bold red")
        return Text(stage.title, "bold yellow" if stage.key == self._screen.bottleneck else "bold")


def _host(share: HostShare, width: int) -> Text:
    has = ", ".join(f"{topic} {count}" for topic, count in share.partitions.items()) or "no partitions"
    name = render.text(f"{render.member_name(share.host)} at {share.address}")
    line = Text.assemble(("host ", "dim"), name, ": ", render.text(has))
    line.append(f"  ({formatting.plural(share.members, 'member')})", "dim")
    line.truncate(width, overflow="ellipsis")
    return line


def _rate(stage: Stage) -> str:
    return "-" if stage.rate is None else _short(stage.rate)


def _age(stage: Stage) -> str:
    return "-" if stage.age is None else formatting.duration_text(stage.age)


def _backlog(stage: Stage) -> str:
    return "-" if stage.backlog is None else _short(stage.backlog)


def _short(number: float) -> str:
    """At most seven characters."""
    if number >= 1e6:
        return f"{number / 1e6:,.1f}M"
    if number >= 1e5:
        return f"{number / 1e3:,.0f}k"
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"


def _trend(stage: Stage) -> Text:
    return render.sparkline(stage.history[-_CELL:])
