"""sesacctl events: schema, check."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import options, render
from sesacctl.cli.options import Output, OutputOption
from sesacctl.errors import CheckFailed, UsageError
from sesacctl.events import Kind

if TYPE_CHECKING:
    from rich.table import Table

    from sesacctl.pipeline.contract.check import EventCheck

app = typer.Typer(
    no_args_is_help=True,
    help="The format of the events: its JSON Schema, and a check of files.\n\nExample: sesacctl events schema orders",
)


@app.command()
def schema(
    kind: Annotated[Kind | None, typer.Argument(help="One topic; by default a schema of all three.")] = None,
) -> None:
    """The JSON Schema (2020-12) of a topic's values, generated from the types that the consumer decodes with.

    Example: sesacctl events schema orders
    """
    options.begin(servers=False)
    from sesacctl.pipeline.contract.schema import schema as generate

    document = generate([kind] if kind else list(Kind))
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="JSON lines, or one JSON document; - is standard input.")],
    kind: Annotated[
        Kind | None, typer.Option(help="Of which topic; by default it is found by each event's fields.")
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """What the consumer would do with each event of a file, by its own decoder; exit code 5 if it would refuse one.

    No server is asked: whether an id is taken, or a user or product is missing, only PostgreSQL knows. Keys are taken
    to be right.

    Example: sesacctl events check events.jsonl
    """
    options.begin(servers=False)
    from sesacctl import settings
    from sesacctl.pipeline.contract.check import check as check_events

    result = check_events(options.read_file(file), kind, settings.load().event_timezone)
    if not result.events:
        raise UsageError(f"{options.file_name(file)} holds no event", hint="sesacctl events check --help")
    render.show(result, output, _table)
    if result.refused:
        raise CheckFailed(f"{result.refused} of {len(result.events)} would be refused", hint="sesacctl events schema")


def _table(result: EventCheck) -> Table:
    rows = [
        (
            event.line,
            event.kind or "unknown",
            event.id,
            "stored" if event.reason is None else f"dead letter: {event.reason}",
            event.created_at,
            event.detail,
        )
        for event in result.events
    ]
    title = f"Events: {result.accepted} accepted, {result.refused} refused"
    return render.table(title, ("line", "topic", "id", "would be", "created_at", "detail"), rows)
