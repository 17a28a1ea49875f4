"""The tables of the `dlq` commands."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import TYPE_CHECKING

from sesacctl import formatting
from sesacctl.cli import render

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from sesacctl.pipeline.repair.dead_letters import Replayed
    from sesacctl.pipeline.repair.letters import DeadLetter, LetterPage

_DETAIL_SHOWN = 240
_KEY_SHOWN = 24


def letters(page: LetterPage) -> RenderableType:
    """The newest ones, and how many there are by reason."""
    from rich.console import Group

    rows = [
        (
            letter.id,
            letter.created_at,
            f"{letter.topic}-{letter.partition}@{letter.offset}",
            "(null)" if letter.key is None else letter.key[:_KEY_SHOWN],
            letter.reason,
            letter.detail[:_DETAIL_SHOWN],
        )
        for letter in page.items
    ]
    title = f"Dead letters: {len(page.items):,} of {page.total:,} shown"
    grid = render.table(title, ("id", "refused", "position", "key", "reason", "detail"), rows)
    counts = ", ".join(f"{reason} {number:,}" for reason, number in page.by_reason.items())
    return Group(grid, render.text(f"by reason: {counts}")) if counts else grid


def one(letter: DeadLetter) -> Table:
    """All of one."""
    return render.details(
        f"Dead letter {letter.id}",
        {
            "topic": letter.topic,
            "partition": letter.partition,
            "offset": letter.offset,
            "reason": letter.reason,
            "detail": letter.detail,
            "sent": letter.record_time,
            "refused": letter.created_at,
            "discarded": letter.discarded_at,
            "stored with a patch": letter.patched_at,
            "patch": None if letter.patch is None else json.dumps(letter.patch, ensure_ascii=False),
            "headers": ", ".join(f"{_plain(name)}: {_plain(value)}" for name, value in letter.headers) or None,
            "key": letter.key,
            "value": letter.value,
        },
    )


def _plain(base64: str | None) -> str:
    return "(null)" if base64 is None else formatting.readable(b64decode(base64))


def replayed(result: Replayed) -> Table:
    """What became of those that were tried, and the first that were refused again."""
    title = "Replay (dry run: nothing was changed)" if result.dry_run else "Replay"
    refused = {f"refused: {reason}": number for reason, number in result.refused.items()}
    named = {f"{each.id}: {each.reason}": each.detail[:_DETAIL_SHOWN] for each in result.named}
    return render.details(
        title, {"tried": result.tried, "stored": result.stored, "duplicates": result.duplicates, **refused, **named}
    )
