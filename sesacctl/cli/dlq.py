"""sesacctl dlq: list, show, replay, discard, export."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import dlq_views, options, render
from sesacctl.cli.options import LONG, MOST_ROWS, Output, OutputOption, YesOption
from sesacctl.envelopes import Envelope
from sesacctl.errors import CheckFailed, UsageError
from sesacctl.events import Kind

if TYPE_CHECKING:
    from sesacctl.pipeline.repair.dead_letters import Filter
    from sesacctl.pipeline.sink.patches import Patch

app = typer.Typer(
    no_args_is_help=True,
    help="Dead letters: look at what was refused, replay, discard or export it.\n\nExample: sesacctl dlq list",
)

IdOption = Annotated[
    list[int] | None, typer.Option("--id", min=1, max=LONG, help="Only this one; may be given several times.")
]
TopicOption = Annotated[Kind | None, typer.Option(help="Only from this topic.")]
ReasonOption = Annotated[str | None, typer.Option(help="Only with this reason, such as invalid_json.")]
SinceOption = Annotated[float | None, options.duration_option("Only those newer than this.", "--since")]
AllOption = Annotated[bool, typer.Option("--all", help="All of them.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would happen to them; change nothing.")]
DiscardedOption = Annotated[
    bool, typer.Option("--discarded", help="Only those that were discarded, or stored with a patch.")
]
PatchOption = Annotated[
    Path | None,
    typer.Option(
        "--patch", metavar="FILE", help="Apply this JSON merge patch (RFC 7396) to each value; - is standard input."
    ),
]
UnwrapOption = Annotated[Envelope | None, typer.Option(help="Store the event that is in such an envelope.")]


@app.command("list")
def list_(
    topic: TopicOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    discarded: DiscardedOption = False,
    limit: Annotated[int, typer.Option("-n", "--limit", min=1, max=MOST_ROWS, help="At most this many.")] = 20,
    output: OutputOption = Output.TABLE,
) -> None:
    """The newest refused records: when and why they were refused, where they came from; how many, by reason.

    With -o jsonl a record a line; -o json has `total`, `by_reason`, and how many are `beyond` the limit.

    Example: sesacctl dlq list --reason invalid_json --since 1h
    """
    settings = options.begin()
    from sesacctl.pipeline.repair import dead_letters

    page = dead_letters.page(settings, _filter(None, topic, reason, since, discarded=discarded), limit=limit)
    if output is Output.JSONL:
        render.show(page.items, output, lambda _: dlq_views.letters(page))
    else:
        render.show(page, output, dlq_views.letters)


@app.command()
def show(
    letter_id: Annotated[int, typer.Argument(metavar="ID", min=1, max=LONG, help="The id that `dlq list` shows.")],
    output: OutputOption = Output.TABLE,
) -> None:
    """One refused record: position, reason, key and value as text, and the raw bytes with -o json.

    Example: sesacctl dlq show 7
    """
    settings = options.begin()
    from sesacctl.pipeline.repair import dead_letters

    render.show(dead_letters.show(settings, letter_id), output, dlq_views.one)


@app.command()
def replay(
    ids: IdOption = None,
    topic: TopicOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    every: AllOption = False,
    dry_run: DryRunOption = False,
    unwrap: UnwrapOption = None,
    patch: PatchOption = None,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Try refused records again through the sink; what can be stored now leaves the dead letters.

    With --unwrap, an event in that envelope is taken out of it first. A row that is there already is not updated: an
    update in a Debezium envelope is a duplicate, or a conflict where amounts differ.

    With --patch, what the patch makes of the JSON value is stored, and the letter is kept with its original bytes and
    the patch, as one that is discarded: `audit --deep` and `--values` hold the row against both. A patch that sets the
    column that records are keyed by, such as the user_id of an order, stands for the key, too.

    Examples: sesacctl dlq replay --reason orphan --dry-run · sesacctl dlq replay --id 7 --patch fix.json
    """
    wanted = _chosen(ids, topic, reason, since, every)
    change = None if patch is None else _read_patch(patch)
    settings = options.begin(yes=None if dry_run else yes)
    from sesacctl.pipeline.repair import dead_letters

    result = dead_letters.replay(settings, wanted, dry_run=dry_run, unwrap=unwrap, patch=change)
    render.show(result, output, dlq_views.replayed)
    if result.refused:
        raise CheckFailed(f"{sum(result.refused.values())} were refused again", hint="sesacctl dlq list")


def _read_patch(file: Path) -> Patch:
    from sesacctl.pipeline.sink.patches import read_patch

    try:
        return read_patch(options.read_file(file))
    except ValueError as error:
        name = options.file_name(file)
        raise UsageError(f"{name}: {error}", hint="sesacctl dlq replay --help") from None


@app.command()
def discard(
    ids: IdOption = None,
    topic: TopicOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    every: AllOption = False,
    yes: YesOption = False,
) -> None:
    """Mark refused records as resolved, so that they are no longer listed; the rows are kept.

    Example: sesacctl dlq discard --id 7
    """
    wanted = _chosen(ids, topic, reason, since, every)
    settings = options.begin(yes=yes)
    from sesacctl.pipeline.repair import dead_letters

    number = dead_letters.count(settings, wanted)
    if number:
        render.confirm(f"Discard {number} dead letters?", yes=yes)
        number = dead_letters.discard(settings, wanted)
    render.say(f"{number} discarded")


@app.command()
def export(
    file: Annotated[
        Path, typer.Argument(help="Written whole or not at all; one JSON object a line. - is standard output.")
    ],
    ids: IdOption = None,
    topic: TopicOption = None,
    reason: ReasonOption = None,
    since: SinceOption = None,
    discarded: DiscardedOption = False,
) -> None:
    """Write refused records, raw bytes included, to a file.

    Examples: sesacctl dlq export dead.jsonl · sesacctl dlq export - --id 7
    """
    settings = options.begin()
    from sesacctl.pipeline.repair import dead_letters

    wanted = _filter(ids, topic, reason, since, discarded=discarded)
    if str(file) == "-":
        dead_letters.write_lines(settings, wanted, sys.stdout)
        return
    number = dead_letters.export(settings, wanted, file)
    render.say(f"{number} dead letters written to {file}")


def _filter(
    ids: list[int] | None, topic: Kind | None, reason: str | None, since: float | None, *, discarded: bool = False
) -> Filter:
    from sesacctl.events import Reason
    from sesacctl.pipeline.repair.dead_letters import Filter

    if reason is not None and reason not in list(Reason):
        raise UsageError(f"there is no reason '{reason}'", hint=f"one of: {', '.join(Reason)}")
    after = None if since is None else datetime.now(UTC) - timedelta(seconds=since)
    return Filter(ids=tuple(ids or ()), topic=topic, reason=reason, since=after, discarded=discarded)


def _chosen(ids: list[int] | None, topic: Kind | None, reason: str | None, since: float | None, every: bool) -> Filter:
    if not (ids or topic or reason or since or every):
        raise UsageError("say which: --id, --topic, --reason, --since or --all", hint="sesacctl dlq list")
    return _filter(ids, topic, reason, since)
