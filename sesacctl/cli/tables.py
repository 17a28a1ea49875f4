"""Tables and their cells: safe in any terminal, numbers on the right."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from sesacctl import formatting
from sesacctl.cli.grid import Grid
from sesacctl.log import printable

BARS = "▁▂▃▄▅▆▇█"

# Among numbers, such a short text stands on the right as they do.
_LONGEST_FACT = 30
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
# A number that is text already, for its colour or unit; and what stands where there is none.
_NUMBER = re.compile(r"[-+]?(?:0|[1-9][\d,]*)(?:\.\d+)?(?: ?(?:%|s|ms|min|h|d|bytes|KB|MB|GB))?", re.ASCII)
_NO_NUMBER = frozenset(("", "-", "–", "none", "unknown", "not yet"))


def text(value: object, style: str = "") -> Text:
    """`value` for a terminal: no markup, no control characters; thousands separators, and one form of times."""
    if isinstance(value, datetime):
        return Text(formatting.time_text(value), style=style)
    shown = f"{value:,}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
    return Text(printable(shown), style=style)


def member_name(member: str) -> str:
    """A member or a host of the consumer group; a UUID in it is cut to its first eight characters."""
    return _UUID.sub(lambda match: match[0][:8], member)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A Rich table; a column is right-aligned where it holds numbers. In a narrow terminal it is a list."""
    rows = [list(row) for row in rows]
    grid = Grid(header_style="bold", show_header=any(columns))
    grid.heading = text(title, "bold") if title else None
    for number, name in enumerate(columns):
        cells = [row[number] for row in rows if row[number] is not None]
        right, least = _alignment(cells)
        grid.add_column(name, justify="right" if right else "left", overflow="fold", min_width=least)
    for row in rows:
        grid.add_row(*(cell if isinstance(cell, Text) else text("" if cell is None else cell) for cell in row))
    return grid


def _alignment(cells: Sequence[object]) -> tuple[bool, int | None]:
    """Whether a column of these stands on the right, and how wide it is at least."""
    plain = [cell if isinstance(cell, int | float) else str(cell) for cell in cells]
    words = [cell for cell in plain if isinstance(cell, str) and not _NUMBER.fullmatch(cell)]
    if len(words) < len(plain) and _NO_NUMBER.issuperset(words):
        # Words may be folded, numbers may not: of a column that does not wrap, the heading would take the others' room.
        return True, max(text(cell).cell_len for cell in plain)
    counted = any(not isinstance(cell, str) for cell in plain)
    return counted and max(Text(str(cell)).cell_len for cell in plain) <= _LONGEST_FACT, None


def sparkline(values: Sequence[float | None]) -> Text:
    """A bar for each value, relative to the largest; a dot where it is not known."""
    most = max((value for value in values if value is not None), default=0)
    bars = ("" if value is None else BARS[min(7, int(value / most * 7.999))] if most else BARS[0] for value in values)
    return Text("".join(bar or "·" for bar in bars), "cyan" if most else "dim")


def details(title: str, values: Mapping[str, object]) -> Table:
    """A two-column table of names and values."""
    return table(title, ("", ""), values.items())
