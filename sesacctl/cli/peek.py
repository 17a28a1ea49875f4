"""sesacctl topics peek."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.text import Text

from sesacctl import formatting
from sesacctl.cli import options, render
from sesacctl.cli.options import LONG, Output, OutputOption
from sesacctl.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType

    from sesacctl.pipeline.watch.peek import Message, Peek, Wanted
    from sesacctl.settings import Settings

_MOST_SHOWN = 10_000
_LAST_PARTITION = 2**31 - 1
_VALUE_SHOWN = 4_000
_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")


def peek(
    topic: Annotated[str, typer.Argument(help="orders, users, products, or the full name of any topic.")],
    count: Annotated[
        int, typer.Option("-n", "--count", min=0, max=_MOST_SHOWN, help="At most this many: the newest ones.")
    ] = 5,
    partition: Annotated[
        int | None, typer.Option("-p", "--partition", min=0, max=_LAST_PARTITION, help="Only this partition.")
    ] = None,
    offset: Annotated[
        int | None, typer.Option(min=0, max=LONG, help="The first ones from this offset of --partition on.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            metavar=options.BYTES,
            help="Only with this key, in the partition that Kafka's own partitioner has for it.",
        ),
    ] = None,
    since: Annotated[float | None, options.duration_option("Only those newer than this.", "--since")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Then show what comes, until Ctrl-C.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Messages of a topic: position, time, size, key, headers and value, and why a consumer would refuse one.

    It joins no group and commits nothing. Isolation is read_committed: records of aborted transactions and
    transaction markers are not shown, those of an open transaction not before it is committed.

    Examples: sesacctl topics peek orders · sesacctl topics peek orders --key U_1 --since 10m -o jsonl
    """
    if offset is not None and partition is None:
        raise UsageError("--offset requires --partition", hint="sesacctl topics list")
    if offset is not None and since is not None:
        raise UsageError("--offset cannot be combined with --since", hint="sesacctl topics peek --help")
    settings = options.begin()
    from sesacctl.cli.signals import stop_event
    from sesacctl.pipeline.watch.peek import Peek, Wanted

    raw_key = None if key is None else key.encode("utf-8", "surrogateescape")
    name = _name(settings, topic)
    wanted = Wanted(topic=name, count=count, partition=partition, offset=offset, key=raw_key, since=since)
    with Peek(settings, wanted) as looker:
        messages = looker.read()
        if not follow:
            render.show(messages, output, _all)
            _say_limits(looker, wanted, messages)
            return
        stop = stop_event()
        line_output = Output.TABLE if output is Output.TABLE else Output.JSONL
        for message in messages:
            render.show([message], line_output, _all)
        _say_limits(looker, wanted, messages)
        for message in looker.follow(stop, on_away=_say_once("Kafka cannot be reached: waiting")):
            render.show([message], line_output, _all)


def _name(settings: Settings, topic: str) -> str:
    from sesacctl.events import Kind

    if topic in list(Kind):
        return settings.topic(topic)
    if not _NAME.fullmatch(topic):
        raise UsageError(f"'{topic}' cannot be the name of a topic", hint="sesacctl topics list")
    return topic


def _say_limits(looker: Peek, wanted: Wanted, messages: list[Message]) -> None:
    if not messages:
        render.say("no message to show")
    if wanted.key is not None and wanted.partition is None:
        render.say(
            f"looked in partition {looker.partitions[0]}, where producers with Kafka's own partitioner send this key"
        )
    if not looker.complete:
        render.say("not all messages were looked at, as that takes too long: say --partition and --offset")
    if looker.held:
        waiting = formatting.plural(looker.held, "offset waits", "offsets wait")
        render.say(f"{waiting} for the end of another producer's transaction and cannot be read yet")


def _say_once(text: str) -> Callable[[], None]:
    said: list[str] = []

    def say() -> None:
        if not said:
            said.append(text)
            render.say(text)

    return say


def _all(messages: list[Message]) -> RenderableType:
    return Group(*(line for message in messages for line in _lines(message)))


def _lines(message: Message) -> list[Text]:
    """A line of facts, one for what is wrong and each header, and the value."""
    facts = [
        render.text(f"{message.topic}-{message.partition}@{message.offset}", "bold"),
        render.text(message.time or "no time"),
        Text.assemble(("key ", "dim"), render.text("(null)" if message.key is None else message.key)),
        Text(formatting.bytes_text(message.size), "dim"),
    ]
    lines = [Text("  ").join(facts)]
    if message.problem:
        lines.append(Text.assemble(("  problem: ", "red"), render.text(message.problem)))
    for name, value in message.headers:
        shown = render.text("(null)" if value is None else value)
        lines.append(Text.assemble(("  header ", "dim"), render.text(name), ": ", shown))
    value = "(null)" if message.value is None else message.value
    more = len(value) - _VALUE_SHOWN
    lines.append(Text("  ") + render.text(value[:_VALUE_SHOWN]))
    if more > 0:
        lines.append(Text(f"  … {formatting.plural(more, 'character')} more: -o json has all", "dim"))
    return lines
