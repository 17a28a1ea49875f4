"""What a command prints, at several widths at once; and whether a narrow screen lacks something of a wide one."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator
from typing import Any

from rich.console import Console

from sesacctl.cli import render

WIDTHS = (400, 120, 80, 40)
"""The first is wide enough for everything."""
_BOX = r"│┃┏┓┗┛━─┌┐└┘├┤┬┴┼┳┻╇┡┩╷╵╈╄┴┰┸"
_CELLS = re.compile(r"^[│┃](.*)[│┃]$")


class Recorder:
    """Stands in for the console of standard output: a line of JSON for each thing that is printed, at all widths."""

    def __init__(self) -> None:
        self.file = io.StringIO()
        self.is_terminal = self.is_dumb_terminal = False

    def print(self, *things: Any, **options: Any) -> None:
        """Write it down."""
        shown = {}
        for width in WIDTHS:
            console = Console(file=io.StringIO(), width=width, height=24)
            console.print(*things, **options)
            assert isinstance(console.file, io.StringIO)
            shown[width] = console.file.getvalue()
        os.write(1, (json.dumps(shown) + "\n").encode())


def record() -> None:
    """From now on, in this process."""
    render.stdout = Recorder()  # type: ignore[assignment]


def lost(wide: str, narrow: str) -> list[str]:
    """The words and numbers of the wide screen that are not on the narrow one; one that is folded is there.

    The heading of a column without any value may be left out.
    """
    there = "".join("".join(heading + body) for heading, body in _columns(narrow))
    words = [word for heading, body in _columns(wide) if "".join(body) for word in (*heading, *body)]
    return [word for word in words if word not in there]


def _columns(text: str) -> Iterator[tuple[list[str], list[str]]]:
    """The words of each column's heading and of its cells; those of a line outside of a table are cells, too."""
    columns: list[tuple[list[str], list[str]]] = []
    for line in text.splitlines():
        if cells := _CELLS.match(line):
            parts = re.split("[│┃]", cells[1])
            if len(columns) != len(parts):
                yield from columns
                columns = [([], []) for _ in parts]
            for column, part in zip(columns, parts, strict=True):
                column[line.startswith("│")].extend(part.split())
        elif not set(line) <= set(_BOX):
            yield from columns
            columns = []
            yield [], line.split()
    yield from columns
