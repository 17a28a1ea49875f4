"""sesacctl trace."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import options, render
from sesacctl.cli.options import Output, OutputOption
from sesacctl.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from sesacctl.pipeline.trace.timeline import Hop, Trace

app = typer.Typer()
_AFTER = 2
_POSITION = re.compile(r"(.+)-(\d{1,9})@(\d{1,19})")


@app.command()
def trace(
    order_id: Annotated[str | None, typer.Argument(metavar="ORDER_ID", help="The order's id.")] = None,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="POSITION", help="A record instead, such as orders-3@42."),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(metavar="USER", help="Of whom it is, if PostgreSQL does not know: less is to be read."),
    ] = None,
    since: Annotated[
        float | None,
        options.duration_option(
            "How far back to read Kafka; by default by the time in the id or row, else 24h.", "--since"
        ),
    ] = None,
    ledger: Annotated[list[Path] | None, typer.Option(help="What `produce --ledger` wrote; may be repeated.")] = None,
    group: Annotated[str | None, typer.Option(help="Consumer group.", show_default="KAFKA_GROUP")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Every hop of one order, from the producer's ledger to its row. Exits 5 if it is not where it should be.

    Found by its id without knowing its offset: by the time in the id or in the row, and by its user's partition.

    Example: sesacctl trace 019ad3f0-5c1e-7a44-9d0b-3f6f0c1b2a3d
    """
    if (order_id is None) == (at is None):
        raise UsageError(
            "say which order: its id, or --at with the position of its record", hint="sesacctl trace --help"
        )
    if at is not None and (user is not None or since is not None):
        raise UsageError("--user and --since are for an order's id; --at has a position", hint="sesacctl trace --help")
    settings = options.begin(kafka_group=group)
    from sesacctl.events import ORDERS
    from sesacctl.pipeline.trace.trace import trace_event, trace_position

    with render.progress() as bars:
        task = bars.add_task("Kafka", total=None)

        def on_progress(read: int, of: int) -> None:
            bars.update(task, completed=read, total=of)

        if at is not None:
            result = trace_position(settings, *_position(at), ledgers=ledger or (), on_progress=on_progress)
        else:
            assert order_id is not None
            after = None if since is None else datetime.now(UTC) - timedelta(seconds=since)
            result = trace_event(
                settings, ORDERS, order_id, since=after, key=user, ledgers=ledger or (), on_progress=on_progress
            )
    render.show(result, output, table)
    if result.is_bad:
        raise CheckFailed(f"{_name(result)}: {result.sentence}", hint=result.next_command)
    if result.next_command:
        render.next_command(result.next_command)


def _position(text: str) -> tuple[str, int, int]:
    if (match := _POSITION.fullmatch(text)) is None:
        raise UsageError(f"'{text}' is not a position such as orders-3@42", hint="sesacctl topics describe")
    return match[1], int(match[2]), int(match[3])


def _name(result: Trace) -> str:
    return "the record" if result.id is None else f"{result.kind.removesuffix('s')} {result.id}"


def table(result: Trace) -> RenderableType:
    """The timeline, and under it the verdict."""
    from rich.console import Group

    rows = [
        (
            hop.stage,
            hop.at,
            _after(hop, result.hops),
            hop.where,
            hop.detail,
        )
        for hop in result.hops
    ]
    columns = ("hop", "time", "after", "where", "what")
    shown = [column for column in range(len(columns)) if column != _AFTER or any(row[_AFTER] for row in rows)]
    cells = [[row[column] for column in shown] for row in rows]
    grid = render.table(f"{_name(result)}, group {result.group}", [columns[column] for column in shown], cells)
    verdict = render.text(f"{result.verdict}: {result.sentence}", "bold red" if result.is_bad else "bold")
    return Group(grid, verdict) if rows else verdict


def _after(hop: Hop, hops: Sequence[Hop]) -> str | None:
    """Since the first hop whose time is known; less than nothing where clocks differ."""
    began = next((each.at for each in hops if each.at is not None), None)
    if hop.at is None or began is None or hop.at == began:
        return None
    return f"{(hop.at - began).total_seconds():,.3f} s"
