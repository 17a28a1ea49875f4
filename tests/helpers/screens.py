"""What a command prints, at several widths at once; and whether a narrow screen lacks something of a wide one."""

from __future__ import annotations

import io
import json
import os
import re
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
    """The words and numbers of the wide screen that are not on the narrow one; one that is folded is there."""
    there = _unfolded(narrow)
    return [word for word in re.findall(rf"[^\s{_BOX}]+", wide) if word not in there]


def _unfolded(text: str) -> str:
    """Without spaces, and with what is in the lines of one cell together."""
    found: list[str] = []
    columns: list[str] = []
    for line in text.splitlines():
        if cells := _CELLS.match(line):
            parts = re.split("[│┃]", cells[1])
            columns = columns if len(columns) == len(parts) else [*columns, *[""] * len(parts)][-len(parts) :]
            columns = [before + "".join(part.split()) for before, part in zip(columns, parts, strict=True)]
        else:
            found += [*columns, "".join(line.split())]
            columns = []
    return "".join(found + columns)
