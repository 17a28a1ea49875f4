"""sesacctl topics: init, describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl import formatting
from sesacctl.cli import options, render
from sesacctl.cli.options import Output, OutputOption, YesOption

if TYPE_CHECKING:
    from rich.table import Table

    from sesacctl.broker.topic_state import TopicState
    from sesacctl.broker.topics import TopicsResult

app = typer.Typer(
    no_args_is_help=True,
    help="Create and describe the three topics.\n\nExample: sesacctl topics init",
)


@app.command()
def init(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create the topics, or bring them to the settings that the pipeline needs. Never deletes.

    Example: sesacctl topics init --dry-run
    """
    settings = options.begin(yes=None if dry_run else yes)
    from sesacctl.broker import topics

    result = topics.init(settings, dry_run=dry_run)
    render.show(result, output, _changes)
    for warning in result.warnings:
        render.say(f"warning: {warning}")
    changes = dry_run and any(change.action != "unchanged" for change in result.topics)
    render.next_command("sesacctl topics init" if changes else "sesacctl produce --count 1000")


@app.command()
def describe(output: OutputOption = Output.TABLE) -> None:
    """Partitions, leaders, in-sync replicas, sizes and retention of the topics.

    Example: sesacctl topics describe -o json
    """
    settings = options.begin()
    from sesacctl.broker import topics

    render.show(topics.describe(settings), output, _states)


def _changes(result: TopicsResult) -> Table:
    title = "Topics (dry run: nothing was changed)" if result.dry_run else "Topics"
    rows = [(change.topic, change.action, ", ".join(change.details)) for change in result.topics]
    return render.table(title, ("topic", "action", "details"), rows)


def _states(states: list[TopicState]) -> Table:
    rows = [
        (
            state.topic,
            len(state.partitions),
            " ".join("none" if each.leader is None else str(each.leader) for each in state.partitions),
            f"{sum(len(each.isr) for each in state.partitions)}/{sum(len(each.replicas) for each in state.partitions)}",
            render.text(state.under_replicated, "bold red" if state.under_replicated else ""),
            state.min_insync_replicas,
            f"{state.retention_ms / 86_400_000:g} d" if state.retention_ms >= 0 else "unlimited",
            render.text(", ".join(state.unsafe), "bold red"),
            formatting.bytes_text(state.size_bytes),
        )
        for state in states
    ]
    columns = (
        "topic",
        "partitions",
        "leaders",
        "in sync",
        "under-replicated",
        "min ISR",
        "retention",
        "unsafe",
        "size",
    )
    return render.table("Topics", columns, rows)
