"""The screens of `sesacctl top`: stages, partitions and help, as large as the terminal is."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from sesacctl import formatting
from sesacctl.cli import render
from sesacctl.pipeline.watch.bottleneck import LOOKS
from sesacctl.pipeline.watch.top import YOUNG_SECONDS

if TYPE_CHECKING:
    from sesacctl.pipeline.watch.screen import HostShare, PartitionLine, Screen, Stage

_CELL, _HOSTS, _TALL, _REASON_LINES = 8, 6, 16, 2
# Seven stages and the names of the lines side by side.
_WIDE = 80
_KEYS = "q quit  p partitions  space pause  ? help"
_HELP = (
    ("q", "quit"),
    ("p", "partitions, and back"),
    ("space", "pause, and continue"),
    ("?", "this help, and back"),
    ("backlog", f"events count as lag once they are {YOUNG_SECONDS:g} s old"),
    ("bottleneck", f"named when {LOOKS} looks in a row agree"),
)


@dataclass(slots=True)
class View:
    """What is shown, as keys choose it."""

    partitions: bool = False
    paused: bool = False
    help: bool = False
    keys: bool = False

    def press(self, key: str) -> None:
        """Change it; other keys change nothing."""
        if key == "p":
            self.partitions, self.help = not self.partitions, False
        elif key == " ":
            self.paused = not self.paused
        elif key in ("?", "h"):
            self.help = not self.help


class Board:
    """One screen: a column a stage, a line a stage on a narrow terminal, and the least there is on a low one."""

    def __init__(self, screen: Screen, view: View | None = None) -> None:
        self._screen = screen
        self._view = view or View()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Rich's protocol."""
        width, height = options.max_width, options.height or console.size.height
        if self._view.help:
            yield from _help(width)
        elif self._view.partitions:
            yield self._short_head(width)
            yield from self._bottleneck(console, width)
            used = 1 + len(self._bottleneck(console, width))
            yield from _partitions(self._screen.partitions, height - used, width)
        elif height < _TALL:
            yield from self._compact(console, width, height)
        else:
            yield from self._whole(console, width, height)

    def _whole(self, console: Console, width: int, height: int) -> Iterator[RenderableType]:
        screen = self._screen
        head = Text("sesacctl top", "bold")
        head.append("  paused  " if self._view.paused else f"  {formatting.clock_text(screen.at)}  ", "dim")
        head.append(render.text(f"database {screen.database}, group {screen.group}", "dim"))
        yield _cut(head, width)
        yield self._columns() if width >= _WIDE else self._lines(width)
        reason = self._bottleneck(console, width)
        yield from reason
        yield _cut(self._facts(), width)
        hosts, room = screen.hosts or [], max(0, height - _TALL + _REASON_LINES - len(reason))
        shown = hosts if len(hosts) <= min(room, _HOSTS) else hosts[: max(0, min(room, _HOSTS) - 1)]
        yield from (_host(share, width) for share in shown)
        if len(hosts) > len(shown):
            yield Text(f"and {formatting.plural(len(hosts) - len(shown), 'host')} more", "dim")
        if self._view.keys:
            yield _cut(Text(_KEYS, "dim"), width)

    def _compact(self, console: Console, width: int, height: int) -> Iterator[RenderableType]:
        """The bottleneck first: it is what is looked for."""
        yield self._short_head(width)
        reason = self._bottleneck(console, width)
        yield from reason
        room = height - 1 - len(reason)
        stages = self._screen.stages
        shown = stages if len(stages) <= room else stages[: max(0, room - 1)]
        yield from (_cut(self._line(stage), width) for stage in shown)
        if len(stages) > len(shown):
            yield Text(f"… {formatting.plural(len(stages) - len(shown), 'stage')} more", "dim")

    def _short_head(self, width: int) -> Text:
        at = "paused" if self._view.paused else formatting.clock_text(self._screen.at)
        return _cut(Text.assemble((f"{at} ", "bold"), self._facts()), width)

    def _bottleneck(self, console: Console, width: int) -> list[Text]:
        screen = self._screen
        name = next((stage.title for stage in screen.stages if stage.key == screen.bottleneck), None)
        if name:
            said = Text.assemble(("bottleneck: ", "dim"), (name, "bold yellow"), ": ", render.text(screen.reason))
        else:
            said = Text.assemble(("bottleneck: ", "dim"), ("none", "green"), ", ", render.text(screen.reason))
        lines = list(said.wrap(console, width))
        if len(lines) > _REASON_LINES:
            lines[_REASON_LINES - 1 :] = [_cut(Text(" ").join(lines[_REASON_LINES - 1 :]), width)]
        for line in lines:
            line.rstrip()
        return lines

    def _facts(self) -> Text:
        screen = self._screen
        brokers = Text("brokers ?", "red")
        if screen.brokers_up is not None and screen.brokers is not None:
            good = screen.brokers_up == screen.brokers
            brokers = Text(f"{screen.brokers_up}/{screen.brokers} brokers", "" if good else "bold red")
        members, dead = screen.members, screen.dead_letters
        return Text("  ").join(
            (
                brokers,
                Text("members ?" if members is None else formatting.plural(members, "member")),
                Text("dead ?" if dead is None else f"{_short(dead)} dead", "yellow" if dead else ""),
            )
        )

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

    def _lines(self, width: int) -> Table:
        table, figures = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False), ("rate/s", "age", "backlog")
        table.add_column(width=_CELL)
        for name in figures:
            table.add_column(name, justify="right", width=_CELL - 1)
        room = width - (_CELL + 1) - len(figures) * _CELL  # else the others would give way
        table.add_column(overflow="ellipsis", no_wrap=True, max_width=max(1, room))
        for stage in self._screen.stages:
            kind = Text(stage.backlog_unit if stage.backlog is not None else "", "dim")
            table.add_row(self._title(stage), _rate(stage), _age(stage), _backlog(stage), kind)
        return table

    def _line(self, stage: Stage) -> Text:
        title = self._title(stage)
        title.pad_right(_CELL - len(stage.title))
        rate = _rate(stage) if stage.rate is None else f"{_rate(stage)}/s"
        figures = f"{rate:>9} {_age(stage):>7} {_backlog(stage):>7} "
        return Text.assemble(title, figures, (stage.backlog_unit if stage.backlog is not None else "", "dim"))

    def _title(self, stage: Stage) -> Text:
        if stage.problem:
            return Text(stage.title, "bold red")
        return Text(stage.title, "bold yellow" if stage.key == self._screen.bottleneck else "bold")


def _help(width: int) -> Iterator[Text]:
    yield Text("sesacctl top", "bold")
    for key, what in _HELP:
        indent = " " * 12
        for number, line in enumerate(textwrap.wrap(what, max(10, width - len(indent)))):
            yield _cut(Text.assemble((indent if number else f"{key:<12}", "bold"), line), width)


def _partitions(lines: list[PartitionLine] | None, room: int, width: int) -> Iterator[RenderableType]:
    """In order; where there is no room for all, those with the most lag."""
    if lines is None:
        yield Text("no partitions are known: Kafka does not answer", "bold red")
        return
    shown = lines
    if len(lines) > room - 1:  # the heading takes a line
        shown = sorted(lines, key=lambda line: line.lag or 0, reverse=True)[: max(0, room - 2)]
    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("partition", no_wrap=True)
    for name in ("lag", "stored/s", "in sync"):
        table.add_column(name, justify="right", no_wrap=True)
    if width >= _WIDE:
        table.add_column("leader", justify="right", no_wrap=True)
        table.add_column("owner", overflow="ellipsis", no_wrap=True)
    for line in shown:
        in_sync = Text(f"{line.in_sync}/{line.replicas}", "bold red" if line.in_sync < line.replicas else "")
        row = [
            render.text(f"{line.topic}-{line.partition}"),
            Text("-" if line.lag is None else _short(line.lag), "yellow" if line.lag else ""),
            Text("-" if line.rate is None else _short(line.rate)),
            in_sync,
        ]
        if width >= _WIDE:
            row.append(Text("none", "bold red") if line.leader is None else Text(str(line.leader)))
            row.append(render.text(render.member_name(line.member or "-")))
        table.add_row(*row)
    yield table
    if len(shown) < len(lines):
        yield Text(f"… {formatting.plural(len(lines) - len(shown), 'partition')} more, with less lag", "dim")


def _host(share: HostShare, width: int) -> Text:
    has = ", ".join(f"{topic} {count}" for topic, count in share.partitions.items()) or "no partitions"
    name = render.text(f"{render.member_name(share.host)} at {share.address}")
    line = Text.assemble(("host ", "dim"), name, ": ", render.text(has))
    line.append(f"  ({formatting.plural(share.members, 'member')})", "dim")
    return _cut(line, width)


def _cut(line: Text, width: int) -> Text:
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
