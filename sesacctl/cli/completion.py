"""What shells offer for a value: by the name of its parameter, so that every command that has one offers the same.

A shell waits for it at each Tab: a server that does not answer within `LIMIT_SECONDS`, and whatever fails, offers
nothing and says nothing.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from typer.core import TyperArgument, TyperOption

if TYPE_CHECKING:
    from typer._click import Command, Context
    from typer._click.shell_completion import CompletionItem

LIMIT_SECONDS = 2.0
_MOST = 50
# A value, and what is said beside it by shells that can.
Offer = tuple[str, str]


def apply(command: Command) -> None:
    """Have each parameter of the command offer its values."""
    for param in command.params:
        offers = _OFFERS.get(str(param.name))
        if offers and isinstance(param, TyperArgument | TyperOption) and not param.type_descriptor.is_choice:
            param.shell_complete = _completing(offers)  # type: ignore[method-assign, assignment]


def _completing(offers: Callable[[str], Iterable[Offer]]) -> Callable[[Context, str], list[CompletionItem]]:
    def shell_complete(_: Context, incomplete: str) -> list[CompletionItem]:
        from typer._click.shell_completion import CompletionItem

        logging.disable(logging.CRITICAL)
        found: list[Offer] = []
        with suppress(Exception):
            found = [offer for offer in offers(incomplete) if offer[0].startswith(incomplete)]
        return [CompletionItem(value, help=text or None) for value, text in found[:_MOST]]

    return shell_complete


def _in_time(offers: Callable[[], list[Offer]]) -> list[Offer]:
    found: list[Offer] = []

    def look() -> None:
        with suppress(Exception):
            found.extend(offers())

    # A daemon: nothing ends a wait inside a driver, and the shell does not wait for it.
    looking = threading.Thread(target=look, name="completion", daemon=True)
    looking.start()
    looking.join(LIMIT_SECONDS)
    return list(found)


def _servers(_: str) -> Iterator[Offer]:
    from sesacctl.stack.stack import SERVERS

    return ((server, "") for server in SERVERS)


def _topics(_: str) -> Iterator[Offer]:
    from sesacctl.events import PARTITIONS

    return ((kind.value, "") for kind in PARTITIONS)


def _topic_list(incomplete: str) -> Iterator[Offer]:
    """Those that are not in the list yet, behind what is."""
    from sesacctl.events import PARTITIONS

    before, comma, _ = incomplete.rpartition(",")
    return ((f"{before}{comma}{kind.value}", "") for kind in PARTITIONS if kind.value not in before.split(","))


def _partitions(_: str) -> Iterator[Offer]:
    from sesacctl.events import PARTITIONS

    return (
        (str(number), " ".join(kind.value for kind, count in PARTITIONS.items() if number < count))
        for number in range(max(PARTITIONS.values()))
    )


def _positions(incomplete: str) -> Iterator[Offer]:
    from sesacctl.events import PARTITIONS

    if "@" in incomplete:
        return iter(())
    return ((f"{kind.value}-{number}@", "") for kind, count in PARTITIONS.items() for number in range(count))


def _reasons(_: str) -> Iterator[Offer]:
    from sesacctl.events import Reason

    return ((reason.value, "") for reason in Reason)


def _starts(_: str) -> Iterator[Offer]:
    yield "earliest", "the oldest record that is there"
    yield "latest", "the end"


def _revisions(_: str) -> Iterator[Offer]:
    from sesacctl.database.schema.revisions import migrations

    yield "head", "the newest"
    yield "base", "no table"
    for path in sorted((migrations() / "versions").glob("[0-9]*.py")):
        revision, _, name = path.stem.partition("_")
        yield revision, name.replace("_", " ")


def _dead_letters(incomplete: str) -> list[Offer]:
    from sesacctl.pipeline.repair.letter_ids import newest
    from sesacctl.settings import load

    settings = load()
    return _in_time(
        lambda: [
            (str(letter.id), f"{letter.reason} {letter.topic}-{letter.partition}@{letter.offset}")
            for letter in newest(settings, incomplete, limit=_MOST, seconds=LIMIT_SECONDS)
        ]
    )


_OFFERS: dict[str, Callable[[str], Iterable[Offer]]] = {
    "server": _servers,
    "topic": _topics,
    "topics_wanted": _topic_list,
    "partition": _partitions,
    "at": _positions,
    "reason": _reasons,
    "revision": _revisions,
    "letter_id": _dead_letters,
    "ids": _dead_letters,
    "start": _starts,
    "to": _starts,
}
