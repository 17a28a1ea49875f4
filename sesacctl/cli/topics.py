"""sesacctl topics: init, describe, list, peek."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl import formatting
from sesacctl.cli import options, render
from sesacctl.cli.options import Output, OutputOption, YesOption
from sesacctl.cli.peek import peek

if TYPE_CHECKING:
    from rich.table import Table

    from sesacctl.broker.topic_list import TopicSummary
    from sesacctl.broker.topic_state import TopicState
    from sesacctl.broker.topics import TopicsResult

app = typer.Typer(
    no_args_is_help=True,
    help="Create and describe the three topics, and look at messages.\n\nExample: sesacctl topics init",
)
app.command()(peek)


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


@app.command("list")
def list_(output: OutputOption = Output.TABLE) -> None:
    """Every topic that this user may see, the pipeline's first; those that Kafka keeps for itself are left out.

    Example: sesacctl topics list
    """
    settings = options.begin()
    from sesacctl.broker import topic_list
    from sesacctl.events import PARTITIONS

    found = topic_list.list_topics(settings)
    render.show(found, output, _names)
    if missing := [settings.topic(kind) for kind in PARTITIONS if kind not in {each.kind for each in found}]:
        render.say(f"the pipeline has no topic {', '.join(missing)} yet")
        render.next_command("sesacctl topics init")


def _names(found: list[TopicSummary]) -> Table:
    rows = [(each.topic, each.kind, each.partitions, each.replicas, each.offsets) for each in found]
    return render.table(
        f"Topics: {len(found)}", ("topic", "pipeline's", "partitions", "replicas", "offsets in the logs"), rows
    )


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
