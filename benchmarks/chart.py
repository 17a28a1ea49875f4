"""Line charts as SVG, with both axes logarithmic: readable on a light and on a dark page, and by a screen reader."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 640, 220  # of one panel
LEFT, RIGHT, TOP, BOTTOM = 76, 200, 34, 40
HEAD = 30  # for the title
COLOURS = ("a", "b", "c", "d")
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600 } .page { fill: #ffffff }
.grid { stroke: #d0d7de } .line { fill: none; stroke-width: 2 }
.a { stroke: #0550ae } .b { stroke: #bc4c00 } .c { stroke: #116329 } .d { stroke: #8250df }
.dot.a { fill: #0550ae } .dot.b { fill: #bc4c00 } .dot.c { fill: #116329 } .dot.d { fill: #8250df }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .page { fill: #0d1117 } .grid { stroke: #3d444d }
.a { stroke: #79c0ff } .b { stroke: #ffa657 } .c { stroke: #7ee787 } .d { stroke: #d2a8ff }
.dot.a { fill: #79c0ff } .dot.b { fill: #ffa657 } .dot.c { fill: #7ee787 } .dot.d { fill: #d2a8ff }
}
"""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Panel:
    """A label for the vertical axis, and the points of each line by its name; all are above zero."""

    label: str
    lines: Mapping[str, Points]


def draw(title: str, description: str, x_label: str, panels: Sequence[Panel]) -> str:
    """The whole document: panels below each other, with one horizontal axis."""
    width, height = LEFT + WIDTH + RIGHT, HEAD + len(panels) * (TOP + HEIGHT) + BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"'
        ' aria-labelledby="title desc">',
        f'<title id="title">{escape(title)}</title>',
        f'<desc id="desc">{escape(description)}</desc>',
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
        _text(LEFT, 22, title, "start", "title"),
    ]
    measured = sorted({x for panel in panels for points in panel.lines.values() for x, _ in points})
    across = Axis.of(measured, LEFT, LEFT + WIDTH)
    for number, panel in enumerate(panels):
        parts += _panel(panel, across, measured, HEAD + number * (TOP + HEIGHT) + TOP)
    bottom = height - BOTTOM
    parts += [_text(across.at(x), bottom + 16, short(x), "middle") for x in measured]
    parts += [_text(LEFT + WIDTH / 2, bottom + 34, x_label, "middle"), "</svg>"]
    return "\n".join(parts) + "\n"


@dataclass(frozen=True)
class Axis:
    """Logarithmic, from `low` at `start` to `high` at `end`, in pixels."""

    low: float
    high: float
    start: float
    end: float

    @classmethod
    def of(cls, values: Sequence[float], start: float, end: float) -> Axis:
        """One that holds the values, and spans a factor of three at least, so that noise looks like noise."""
        low, high = min(values), max(values)
        middle = math.sqrt(low * high)
        return cls(min(low, middle / math.sqrt(3)), max(high, middle * math.sqrt(3)), start, end)

    def at(self, value: float) -> float:
        """Where it is, in pixels."""
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round numbers in it: powers of ten, and between them 2 and 5, or 3, as far as there is room."""
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        steps = (1, 1.5, 2, 3, 5, 7) if self.high / self.low < 12 else (1, 3) if self.high / self.low < 3000 else (1,)
        values = [step * 10.0**decade for decade in decades for step in steps]
        return [value for value in values if self.low * 0.999 <= value <= self.high * 1.001]


def short(value: float) -> str:
    """As on an axis: 300k, 1M, 0.3."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size * 0.9999:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _panel(panel: Panel, across: Axis, measured: Sequence[float], top: float) -> Iterator[str]:
    up = Axis.of([y for points in panel.lines.values() for _, y in points], top + HEIGHT - 8, top + 8)
    yield _text(LEFT, top - 8, panel.label, "start")
    for tick in up.ticks():
        y = up.at(tick)
        yield f'<line class="grid" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _text(LEFT - 8, y + 4, short(tick), "end")
    for x in map(across.at, measured):
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + HEIGHT}"/>'
    names = iter(_apart({name: up.at(points[-1][1]) for name, points in panel.lines.items() if points}).items())
    for colour, points in zip(COLOURS, filter(None, panel.lines.values()), strict=False):
        places = [(across.at(x), up.at(y)) for x, y in points]
        yield f'<polyline class="line {colour}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in places)}"/>'
        yield from (f'<circle class="dot {colour}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in places)
        name, y = next(names)
        yield f'<circle class="dot {colour}" cx="{LEFT + WIDTH + 24}" cy="{y:.1f}" r="3.5"/>'
        yield _text(LEFT + WIDTH + 34, y + 4, name, "start")


def _apart(heights: dict[str, float]) -> dict[str, float]:
    """The names at the ends of lines, none upon another."""
    placed: dict[str, float] = {}
    for name in sorted(heights, key=lambda name: heights[name]):
        lowest = max(placed.values(), default=-math.inf)
        placed[name] = max(heights[name], lowest + 16)
    return {name: placed[name] for name in heights}


def _text(x: float, y: float, text: str, anchor: str, kind: str = "") -> str:
    named = f' class="{kind}"' if kind else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
