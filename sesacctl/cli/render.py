"""The only printer: Rich tables or JSON on stdout, everything else on stderr."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

import typer
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from sesacctl.cli.options import Output, shared
from sesacctl.cli.program import as_typed
from sesacctl.cli.signals import job_control
from sesacctl.cli.tables import details, member_name, sparkline, table, text
from sesacctl.documents import as_json, versioned
from sesacctl.errors import Declined, ServerNotStarted, SesacctlError, UsageError
from sesacctl.log import escaped, is_only_json, printable, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rich.progress import Progress

    from sesacctl.cli.keys import Keys

__all__ = ["details", "member_name", "sparkline", "table", "text"]
"""Of what lies elsewhere."""
T = TypeVar("T")

# As wide as COLUMNS says, else as the terminal of any of the three streams is, as before `| less`, else 80: who
# reads a file or a log later has that at least, and a table that has no room becomes a list of its rows.
stdout = Console(highlight=False)
stderr = Console(highlight=False, stderr=True)


def is_live(console: Console) -> bool:
    """Whether it may show animation: a person is watching. Forced colours do not make a file a terminal."""
    return console.is_terminal and not console.is_dumb_terminal and console.file.isatty()


def show(result: T, output: Output, to_table: Callable[[T], RenderableType]) -> None:
    """Print a service's result: `to_table(result)`, or JSON with `schema_version`; a list is a line each as jsonl."""
    if output is Output.TABLE:
        stdout.print(to_table(result))
        return
    body = as_json(result)
    for each in body if output is Output.JSONL and isinstance(body, list) else [body]:
        print(escaped(json.dumps(versioned(each), ensure_ascii=False, indent=2 if output is Output.JSON else None)))
    sys.stdout.flush()


def show_document(text: str) -> None:
    """Print a result that is a document already: as it is."""
    print(text, end="")
    sys.stdout.flush()


def watch(
    fetch: Callable[[], T],
    seconds: float,
    stop: threading.Event,
    output: Output,
    to_table: Callable[[T], RenderableType],
) -> None:
    """Show `fetch()` every `seconds` until `stop`: in place on a terminal, else one table or JSON line after the other.

    Raises:
        SesacctlError: the first look failed, or a later one did with an error that is not retriable.
    """
    in_place = output is Output.TABLE and is_live(stdout)
    shown, problem = False, ""
    with live_screen(stdout) if in_place else nullcontext() as live:
        while not stop.is_set():
            try:
                result = fetch()
                if live:
                    live.update(to_table(result), refresh=True)
                else:
                    show(result, output if output is Output.TABLE else Output.JSONL, to_table)
                problem = ""
            except SesacctlError as error:
                if not shown or not error.retriable:
                    raise
                if str(error) != problem:
                    problem = str(error)
                    say(f"{problem}: waiting")
            shown = True
            stop.wait(seconds)


@contextmanager
def reporting(
    output: Output, to_table: Callable[[T], RenderableType], to_line: Callable[[T], str]
) -> Iterator[Callable[[T], None]]:
    """What shows a loop's reports: a live table on a terminal, JSON lines for `-o jsonl`, else lines on stderr."""
    if output is Output.JSONL:
        yield lambda report: show(report, output, to_table)
    elif is_live(stderr) and not shared.quiet:
        with live_screen(stderr, transient=True) as live:
            yield lambda report: live.update(to_table(report), refresh=True)
    else:
        yield lambda report: say(to_line(report))


@contextmanager
def live_screen(console: Console, *, transient: bool = False, keys: Keys | None = None) -> Iterator[Live]:
    """A screen that is drawn again in its place; `keys` are those that are read meanwhile."""
    with Live(console=console, auto_refresh=False, transient=transient) as live, job_control(console, live, keys):
        yield live


def report_seconds() -> float:
    """Seconds between the reports of a loop: 1 on a terminal, 5 elsewhere."""
    return 1.0 if is_live(stderr) else 5.0


def say(message: str) -> None:
    """Print a line on stderr; nothing with `--quiet`."""
    if shared.quiet:
        return
    if is_only_json():
        write("info", "progress", message)
    else:
        stderr.print(text(message), soft_wrap=True)


def show_aside(result: T, to_table: Callable[[T], RenderableType]) -> None:
    """Print on stderr what is not the command's result: a table, or a JSON object with `items`."""
    if is_only_json():
        write("info", "progress", "", items=as_json(result))
    else:
        stderr.print(to_table(result))


def next_command(command: str) -> None:
    """Print the command to run next."""
    if shared.quiet:
        return
    if is_only_json():
        write("info", "next", command)
    else:
        stderr.print(Text("next: ", style="dim") + text(as_typed(command), "bold"), soft_wrap=True)


def show_error(error: SesacctlError) -> None:
    """The message, and the command to run next; before them what the failing server's log says."""
    log_lines = error.log_lines if isinstance(error, ServerNotStarted) else ()
    if is_only_json():
        more = {"log_lines": list(log_lines)} if log_lines else {}
        facts = {"error": type(error).__name__, "exit_code": error.exit_code, "next": error.hint}
        write("error", "error", str(error), **facts, **more)
        return
    for line in log_lines:
        stderr.print(text(line, "dim"), soft_wrap=True)
    stderr.print(Text("error: ", style="bold red") + text(error), soft_wrap=True)
    if error.hint:
        stderr.print(Text("next:  ", style="dim") + text(as_typed(error.hint), "bold"), soft_wrap=True)


def can_ask() -> bool:
    """Whether there is a person on a terminal who can be asked."""
    return sys.stdin is not None and sys.stdin.isatty() and not is_only_json()


def confirm(question: str, *, yes: bool, instead: str = "the same command with --yes") -> None:
    """Ask on stderr; continue only after a yes. `instead`: what to run where nobody can be asked.

    Raises:
        UsageError: there is no terminal to ask on and `--yes` was not given.
        Declined: the answer was not yes.
    """
    if yes:
        return
    if not can_ask():
        raise UsageError(f"{question} There is no terminal to ask on.", hint=instead)
    try:
        agreed = typer.confirm(printable(question), err=True)
    except typer.Abort:
        agreed = False
    if not agreed:
        raise Declined


def ask(question: str, *, default: str) -> str | None:
    """The answer of somebody on a terminal, asked on stderr; None without a terminal.

    Raises:
        Declined: there was no answer.
    """
    if not can_ask():
        return None
    try:
        return str(typer.prompt(printable(question), default=default, err=True))
    except typer.Abort:
        raise Declined from None


@contextmanager
def progress() -> Iterator[Progress]:
    """A progress display on stderr that stays silent without a terminal."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    silent = shared.quiet or not is_live(stderr)
    with Progress(*columns, console=stderr, disable=silent) as bars, nullcontext() if silent else job_control(stderr):
        yield bars


@contextmanager
def steps(what: str) -> Iterator[Callable[[str], None]]:
    """A spinner with the latest step on a terminal, a line a step elsewhere."""
    if shared.quiet or not is_live(stderr):
        yield say
        return
    with stderr.status(text(f"{what} …")) as spinner, job_control(stderr):
        yield lambda step: spinner.update(text(step))
