"""Tables that lose nothing where there is little room."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

# A longer word does not make a column wider: it is folded.
_LONGEST_WORD = 16


class Grid(Table):
    """A table that becomes a list of its rows where it has no room; its heading may be wider than it is."""

    heading: Text | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.heading:
            yield self.heading
        least = [max(_longest_word(cell) for cell in (column.header, *column.cells)) for column in self.columns]
        room = options.max_width - sum(least) - 3 * len(least) - 1
        if len(self.columns) <= 2 or room >= 0:
            if len(self.columns) > 2:
                self._share(least, room)
            yield from super().__rich_console__(console, options)
            return
        for cells in zip(*(column.cells for column in self.columns), strict=True):
            for column, cell in zip(self.columns, cells, strict=True):
                if str(cell):
                    yield Text.assemble((f"{column.header}: " if str(column.header) else "", "dim"), cell)
            yield ""

    def _share(self, least: Sequence[int], room: int) -> None:
        """Give each column its longest word, and what is left to those that want more, the modest ones first."""
        wants = {
            number: max(Text(str(cell)).cell_len for cell in (column.header, *column.cells)) - least[number]
            for number, column in enumerate(self.columns)
        }
        for left, number in zip(range(len(wants), 0, -1), sorted(wants, key=wants.__getitem__), strict=True):
            given = min(max(0, wants[number]), room // left)
            self.columns[number].width = least[number] + given
            room -= given


def _longest_word(cell: object) -> int:
    return min(_LONGEST_WORD, max((Text(word).cell_len for word in str(cell).split()), default=0))
