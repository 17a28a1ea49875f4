"""sesacctl offsets: reset, accept-cut."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import advice, options, render
from sesacctl.cli.options import Output, OutputOption, YesOption

if TYPE_CHECKING:
    from rich.table import Table

    from sesacctl.pipeline.repair.reset_offsets import Move
    from sesacctl.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    help="Move the consumers' offsets in PostgreSQL.\n\nExample: sesacctl offsets reset --to earliest --dry-run",
)

GroupOption = Annotated[str | None, typer.Option(help="Consumer group.", show_default="KAFKA_GROUP")]
TopicsOption = Annotated[str, typer.Option("--topics", help="Only these, with commas between.", metavar="TOPIC,TOPIC")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would move and be given up; move nothing.")]


@app.command()
def reset(
    to: Annotated[
        str, typer.Option("--to", help="Where to; TIME is in ISO 8601.", metavar="earliest|latest|TIME|OFFSET")
    ],
    topics_wanted: TopicsOption = "orders,users,products",
    group: GroupOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Consume again from an offset, or skip to one. Rows stay; what was stored before comes again as duplicates.

    Example: sesacctl offsets reset --to earliest --topics orders --dry-run
    """
    settings = options.begin(yes=None if dry_run else yes, kafka_group=group)
    from sesacctl.pipeline.repair import reset_offsets

    moves = reset_offsets.plan(settings, options.kinds(topics_wanted), to)
    _carry_out(settings, moves, dry_run=dry_run, yes=yes, output=output)


@app.command("accept-cut")
def accept_cut(
    group: GroupOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Continue after a log was cut: read it again from where it differs from the one that was stored. Rows stay.

    What the brokers had acknowledged and lost before it was stored is nowhere: only a producer's ledger can name it.

    Example: sesacctl offsets accept-cut --dry-run
    """
    settings = options.begin(yes=None if dry_run else yes, kafka_group=group)
    from sesacctl.pipeline.repair import reset_offsets

    _carry_out(settings, reset_offsets.plan_cuts(settings), dry_run=dry_run, yes=yes, output=output)


def _carry_out(settings: Settings, moves: list[Move], *, dry_run: bool, yes: bool, output: Output) -> None:
    render.show(moves, output, table)
    if not moves:
        render.say("nothing to move")
    elif not dry_run:
        confirm_and_move(settings, moves, yes=yes)
    render.next_command(f"{advice.store_the_rest(settings)}, then sesacctl audit")


def confirm_and_move(settings: Settings, moves: list[Move], *, yes: bool) -> None:
    """Ask, unless `yes`, and carry the moves out."""
    from sesacctl.pipeline.repair import reset_offsets

    render.confirm(f"Move the offsets of group {settings.kafka_group} in PostgreSQL?", yes=yes)
    reset_offsets.move(settings, moves)


def table(moves: list[Move]) -> Table:
    """What is moved where, and what that means."""
    rows = [
        (
            f"{move.topic}-{move.partition}",
            move.before,
            move.after,
            move.again,
            render.text(move.given_up, "bold red" if move.given_up else ""),
            move.cut.detail if move.cut else "",
        )
        for move in moves
    ]
    return render.table("Offsets", ("partition", "now", "then", "read again", "given up", "verdict accepted"), rows)
