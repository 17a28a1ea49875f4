"""The only printer: Rich tables or JSON on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

import typer
from rich.console import Console, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from sesacctl.cli.options import Output
from sesacctl.errors import ServerNotStarted, SesacctlError, UsageError
from sesacctl.log import printable

SCHEMA_VERSION = 1
T = TypeVar("T")

stdout = Console(highlight=False, soft_wrap=False)
stderr = Console(stderr=True, highlight=False)


def text(value: object, style: str = "") -> Text:
    """`value` for a terminal: no markup, no control characters; integers with thousands separators."""
    shown = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return Text(printable(shown), style=style)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A Rich table; a column is right-aligned where its first value is a number."""
    rows = [list(row) for row in rows]
    grid = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for number, name in enumerate(columns):
        numeric = any(isinstance(row[number], int | float) for row in rows)
        grid.add_column(name, justify="right" if numeric else "left", overflow="fold", no_wrap=numeric)
    for row in rows:
        grid.add_row(*(cell if isinstance(cell, Text) else text("" if cell is None else cell) for cell in row))
    return grid


def show(result: T, output: Output, to_table: Callable[[T], RenderableType]) -> None:
    """Print a service's result: `to_table(result)`, or one JSON document with `schema_version`."""
    if output is Output.TABLE:
        stdout.print(to_table(result))
        return
    import msgspec

    document = msgspec.to_builtins(result, str_keys=True, enc_hook=str)
    body = document if isinstance(document, dict) else {"items": document}
    indent = 2 if output is Output.JSON else None
    print(json.dumps({"schema_version": SCHEMA_VERSION, **body}, ensure_ascii=False, indent=indent), flush=True)


def watch(
    fetch: Callable[[], T],
    seconds: float,
    stop: threading.Event,
    output: Output,
    to_table: Callable[[T], RenderableType],
) -> None:
    """Show `fetch()` every `seconds` until `stop`: in place on a terminal, else one table or JSON line after the other.

    Raises:
        SesacctlError: at the first time, and later what waiting does not mend.
    """
    in_place = output is Output.TABLE and stdout.is_terminal
    shown = False
    with Live(console=stdout, auto_refresh=False, transient=False) if in_place else nullcontext() as live:
        while not stop.is_set():
            try:
                result = fetch()
                if live:
                    live.update(to_table(result), refresh=True)
                else:
                    show(result, output if output is Output.TABLE else Output.JSONL, to_table)
            except SesacctlError as error:
                if not shown or not error.retriable:
                    raise
                say(f"{error}: waiting")
            shown = True
            stop.wait(seconds)


def say(message: str) -> None:
    """A line for the person, on stderr."""
    stderr.print(text(message))


def next_command(command: str) -> None:
    """Tell the person what to type next."""
    stderr.print(Text("next: ", style="dim") + text(command, "bold"))


def show_error(error: SesacctlError) -> None:
    """The message, and the command to run next; before them what the failing server's log says."""
    for line in error.log_lines if isinstance(error, ServerNotStarted) else ():
        stderr.print(text(line, "dim"), soft_wrap=True)
    stderr.print(Text("error: ", style="bold red") + text(error), soft_wrap=True)
    if error.hint:
        stderr.print(Text("next:  ", style="dim") + text(error.hint, "bold"), soft_wrap=True)


def confirm(question: str, *, yes: bool) -> None:
    """Ask on stderr; go on only after a yes.

    Raises:
        UsageError: there is no terminal to ask on and `--yes` was not given.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"{question} There is no terminal to ask on.", hint="the same command with --yes")
    typer.confirm(question, abort=True, err=True)


def progress() -> Progress:
    """A progress display on stderr that stays silent without a terminal."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=stderr,
        disable=not stderr.is_terminal,
    )


@contextmanager
def steps(what: str) -> Iterator[Callable[[str], None]]:
    """A spinner with the latest step on a terminal, a line a step elsewhere."""
    if not stderr.is_terminal:
        yield say
        return
    with stderr.status(text(f"{what} …")) as spinner:
        yield lambda step: spinner.update(text(step))


def details(title: str, values: dict[str, Any]) -> Table:
    """A two-column table of names and values."""
    return table(title, ("", ""), values.items())
