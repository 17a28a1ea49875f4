"""sesacctl offsets: show, reset, accept-cut."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl import formatting
from sesacctl.cli import advice, options, render
from sesacctl.cli.options import Output, OutputOption, YesOption

if TYPE_CHECKING:
    from rich.table import Table

    from sesacctl.pipeline.audit.partitions import PartitionProgress
    from sesacctl.pipeline.repair.reset_offsets import Move
    from sesacctl.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    help="The consumers' offsets in PostgreSQL: show and move them.\n\nExample: sesacctl offsets show",
)

GroupOption = Annotated[str | None, typer.Option(help="Consumer group.", show_default="KAFKA_GROUP")]
TopicsOption = Annotated[str, typer.Option("--topics", help="Only these, with commas between.", metavar="TOPIC,TOPIC")]
PartitionsOption = Annotated[
    list[int] | None,
    typer.Option(
        "-p", "--partition", min=0, max=2**31 - 1, help="Only this one of each topic; may be given several times."
    ),
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show what would move and be given up, and do not even ask.")
]


@app.command("show")
def show_(
    topics_wanted: TopicsOption = "orders,users,products",
    partitions: PartitionsOption = None,
    group: GroupOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Where the group stands in each partition: PostgreSQL's offsets, which decide, and the copy of them in Kafka.

    Example: sesacctl offsets show --topics orders
    """
    settings = options.begin(kafka_group=group)
    from sesacctl.pipeline.audit.partitions import read_partitions
    from sesacctl.pipeline.repair.reset_offsets import choose

    found = choose(read_partitions(settings), options.kinds(topics_wanted), partitions or ())
    render.show(found, output, _offsets)


def _offsets(partitions: list[PartitionProgress]) -> Table:
    rows = [
        (
            f"{part.topic}-{part.partition}",
            part.log_start,
            part.next,
            part.log_end,
            part.lag,
            part.kafka_offset,
            _record_time(part),
        )
        for part in partitions
    ]
    columns = ("partition", "log start", "next", "log end", "lag", "in Kafka", "last record")
    return render.table("Offsets", columns, rows)


def _record_time(part: PartitionProgress) -> datetime | None:
    from sesacctl.events import record_time

    last = part.mark.last_timestamp if part.mark else None
    return None if last is None else record_time(last)


@app.command()
def reset(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            help="Where to; TIME is -1h, or in UTC: 2026-11-22T20:00, 'yesterday 20:00'.",
            metavar="earliest|latest|TIME|OFFSET",
        ),
    ],
    topics_wanted: TopicsOption = "orders,users,products",
    partitions: PartitionsOption = None,
    group: GroupOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Consume again from an offset, or skip to one. Rows stay; what was stored before comes again as duplicates.

    It shows what would move, and moves it only after a yes: typed, or given as --yes. Without a terminal to ask on it
    is a dry run.

    Examples: sesacctl offsets reset --to earliest · sesacctl offsets reset --to -1h --topics orders -p 3
    """
    settings = options.begin(yes=None if dry_run else yes, kafka_group=group)
    from sesacctl.pipeline.repair import reset_offsets, targets

    target = targets.parse(to, datetime.now(UTC))
    if isinstance(target, datetime):
        render.say(f"to the first record from {formatting.time_text(target)} on")
    moves = reset_offsets.plan(settings, options.kinds(topics_wanted), to, numbers=partitions or ())
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
    elif dry_run or not (yes or render.can_ask()):
        render.say("dry run: nothing was moved")
        render.next_command("the same command with --yes")
    else:
        confirm_and_move(settings, moves, yes=yes)
        render.next_command(f"{advice.store_the_rest(settings)}, then sesacctl audit")


def confirm_and_move(settings: Settings, moves: list[Move], *, yes: bool) -> None:
    """Ask, unless `yes`, and carry the moves out."""
    from sesacctl.pipeline.repair import reset_offsets

    render.confirm(f"Move the offsets of group {settings.kafka_group} in PostgreSQL?", yes=yes)
    reset_offsets.move(settings, moves)


def table(moves: list[Move]) -> Table:
    """What is moved where, and what that means."""
    cuts = any(move.cut for move in moves)
    rows = [
        (
            f"{move.topic}-{move.partition}",
            move.before,
            move.after,
            move.again,
            render.text(move.given_up, "bold red" if move.given_up else ""),
            *([move.cut.detail if move.cut else ""] if cuts else ()),
        )
        for move in moves
    ]
    columns = ("partition", "now", "then", "read again", "given up", *(("verdict accepted",) if cuts else ()))
    return render.table("Offsets", columns, rows)
