"""What a series of measurements says: a table, a chart, and whether cost is flat, linear, or has a knee."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from benchmarks.chart import Panel, Points, draw, short

FLAT, LINEAR = 0.15, 0.2  # how far a log-log slope may be from 0 and from 1
DIFFERENT = 0.3  # between the slopes before and after a knee
SHARPER = 0.25  # what the error of two lines may be of the error of one, where there is a knee


@dataclass
class Series:
    """Medians by what grows; `panels` names each measure's unit, and the lines that have it."""

    name: str
    title: str
    x_label: str
    panels: dict[str, list[str]]
    points: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(self, x: float, rounds: Sequence[dict[str, float]]) -> None:
        """The medians of the rounds at `x`; a measure of zero could not be taken."""
        for line in rounds[0]:
            values = [each[line] for each in rounds if each.get(line, 0) > 0]
            if values:
                self.points.setdefault(line, []).append((x, median(values)))

    def walk(self, points: Sequence[int], seconds: float) -> Iterator[int]:
        """The points, as long as the next one can be expected to end within `seconds`; where not, a note says so."""
        began, last, before = time.monotonic(), 0.0, points[0]
        for point in points:
            start = time.monotonic()
            if start + last * math.sqrt(point / before) > began + seconds:
                self.notes.append(
                    f"Measured up to {before:,}: the next point would have taken more than the time given."
                )
                return
            yield point
            last, before = time.monotonic() - start, point

    def table(self) -> list[str]:
        """Markdown."""
        xs = sorted({x for points in self.points.values() for x, _ in points})
        lines = [f"{line}, {unit}" for unit, lines in self.panels.items() for line in lines]
        names = [line for lines in self.panels.values() for line in lines]
        shown = [f"| {' | '.join([self.x_label, *lines])} |", f"|{'---:|' * (len(lines) + 1)}"]
        for x in xs:
            found = [dict(self.points.get(name, ())).get(x) for name in names]
            cells = ["" if value is None else _figure(value) for value in found]
            shown.append(f"| {' | '.join([f'{x:,.0f}', *cells])} |")
        return shown

    def sentences(self) -> list[str]:
        """One for each line."""
        names = [line for lines in self.panels.values() for line in lines]
        return [f"{name}: {shape(self.points[name])}." for name in names if name in self.points]

    def markdown(self) -> list[str]:
        """The section: title, table, what it says, and where the chart is."""
        said = [f"- {sentence}" for sentence in [*self.sentences(), *self.notes]]
        chart = f"![{self.title}](../docs/charts/growth-{self.name}.svg)"
        return [f"### {self.title}", "", *self.table(), "", *said, "", chart]

    def svg(self) -> str:
        """The chart; what it shows is said in its description, too."""
        panels = [
            Panel(unit, {name: self.points[name] for name in lines if name in self.points})
            for unit, lines in self.panels.items()
        ]
        return draw(self.title, " ".join(self.sentences()), self.x_label, [panel for panel in panels if panel.lines])


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def shape(points: Points) -> str:
    """Flat, linear, a power, or one of them up to a knee and another from there, by slopes of logarithms."""
    if len(points) < 2:
        return "a single point"
    whole = slope(points)
    splits = [(points[: end + 1], points[end:]) for end in range(1, len(points) - 1)]
    if not splits:
        return _said(whole)
    before, after = min(splits, key=lambda parts: error(parts[0]) + error(parts[1]))
    first, second = slope(before), slope(after)
    sharper = error(before) + error(after) <= SHARPER * error(points)
    if len(points) > 3 and sharper and abs(first - second) >= DIFFERENT:
        return f"{_said(first)} up to {short(after[0][0])}, then {_said(second)}"
    return _said(whole)


def _said(value: float) -> str:
    """A slope in words."""
    value = round(value, 2) + 0.0  # which makes zero of -0.0
    if abs(value) <= FLAT:
        return f"flat (slope {value:.2f})"
    if abs(value - 1) <= LINEAR:
        return f"linear (slope {value:.2f})"
    kind = "falls" if value < 0 else "grows less than linearly" if value < 1 else "grows more than linearly"
    return f"{kind} (slope {value:.2f})"


def _logarithms(points: Points) -> list[tuple[float, float]]:
    return [(math.log(x), math.log(y)) for x, y in points]


def slope(points: Points) -> float:
    """Of the line through the logarithms with the least squares."""
    logarithms = _logarithms(points)
    x_mean, y_mean = (sum(values) / len(points) for values in zip(*logarithms, strict=True))
    across = sum((x - x_mean) ** 2 for x, _ in logarithms)
    return float(sum((x - x_mean) * (y - y_mean) for x, y in logarithms) / across)


def error(points: Points) -> float:
    """The sum of squares that this line leaves."""
    logarithms, tilt = _logarithms(points), slope(points)
    x_mean, y_mean = (sum(values) / len(points) for values in zip(*logarithms, strict=True))
    return float(sum((y - y_mean - tilt * (x - x_mean)) ** 2 for x, y in logarithms))


def steps(least: float, most: float, factor: float = 10**0.5) -> list[int]:
    """Geometric, rounded to one digit, from `least` to `most`, both among them."""
    count = max(1, round(math.log(most / least) / math.log(factor)))
    found = [least * (most / least) ** (number / count) for number in range(count + 1)]
    rounded = [int(float(f"{value:.0e}")) for value in found[1:-1]]
    every = [int(least), *rounded, int(most)]
    return [before for before, after in pairwise([*every, every[-1] + 1]) if before < after]
