"""A dashboard's panels as one HTML page: lines, bars, numbers and tables, in plain SVG where a panel is in Grafana."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import Any

COLUMN, UNIT, GAP, HEADER = 48, 23, 6, 44
"""Pixels: a column and a line of Grafana's grid, what is between two panels, and the page's title."""
COLUMNS = 24
_COLORS = (
    *("#1f77b4", "#d9730d", "#2a9d3f", "#c0392b", "#7d5bbe", "#8c564b", "#d14f9c", "#5f6b76", "#9a8f12", "#1798a5"),
    *("#0b3d6b", "#f2a65a"),
)
_GREEN, _RED, _GRAY = "#2a9d3f", "#c0392b", "#767676"
_LEFT, _RIGHT, _BOTTOM, _TOP = 50, 8, 16, 6
_LEGEND_LINE = 15
_STYLE = f"""
body {{ margin: 0; background: #f4f5f5; color: #24292e; font: 11px "DejaVu Sans", NanumGothic, sans-serif; }}
h1 {{ position: absolute; left: {GAP}px; top: 4px; margin: 0; font-size: 17px; }}
p.about {{ position: absolute; left: {GAP}px; top: 26px; margin: 0; color: {_GRAY}; }}
section {{ position: absolute; box-sizing: border-box; background: #fff; border: 1px solid #dcdfe3; overflow: hidden; }}
h2 {{ position: absolute; margin: 0; font-size: 13px; line-height: {UNIT}px; }}
h3 {{ margin: 0; padding: 2px 6px; font-size: 11px; line-height: 14px; white-space: nowrap; }}
svg {{ display: block; }}
ul {{ list-style: none; margin: 0; padding: 0 6px; line-height: {_LEGEND_LINE}px; }}
li {{ display: inline-block; margin-right: 9px; white-space: nowrap; font-size: 10px; }}
i {{ display: inline-block; width: 10px; height: 3px; margin-right: 3px; vertical-align: middle; }}
.none {{ color: {_GRAY}; }}
.big {{ font-size: 26px; text-align: center; font-weight: bold; }}
table {{ border-collapse: collapse; width: 100%; font-size: 10px; }}
td, th {{ text-align: left; padding: 0 6px; line-height: 14px; }}
"""


@dataclass(frozen=True)
class Series:
    """A line: seconds since 1970 and values, in order."""

    name: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Answer:
    """What a panel's queries returned: lines for a `timeseries`, else rows below their columns."""

    lines: list[Series] = field(default_factory=list)
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    lacking: Sequence[str] = ()
    """Of each query that found nothing, why."""

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not self.lines and not self.rows


def page(board: dict[str, Any], answers: Sequence[tuple[dict[str, Any], Answer]], about: str) -> tuple[str, int, int]:
    """The HTML, its width and its height in pixels; `answers` are panels with what they found."""
    title, rows = escape(board["title"]), [panel for panel in board["panels"] if panel["type"] == "row"]
    parts = [f"<h1>{title}</h1><p class=about>{escape(about)}</p>"]
    for panel in rows:
        left, top, _, _ = _place(panel)
        parts.append(f'<h2 style="left:{left}px;top:{top}px">{escape(panel["title"])}</h2>')
    for panel, answer in answers:
        left, top, width, height = _place(panel)
        place = f"left:{left}px;top:{top}px;width:{width}px;height:{height}px"
        body = _body(panel, answer, width - 2, height - 20)
        parts.append(f'<section style="{place}"><h3>{escape(panel["title"])}</h3>{body}</section>')
    end = max(top + height for _, top, _, height in (_place(panel) for panel in board["panels"]))
    head = f'<!doctype html><html><head><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style></head>'
    return f"{head}<body>{''.join(parts)}</body></html>\n", COLUMNS * COLUMN + GAP, end + GAP


def _place(panel: dict[str, Any]) -> tuple[int, int, int, int]:
    grid = panel["gridPos"]
    return (
        *(grid["x"] * COLUMN + GAP, grid["y"] * UNIT + HEADER),
        *(grid["w"] * COLUMN - GAP, grid["h"] * UNIT - GAP),
    )


def _body(panel: dict[str, Any], answer: Answer, width: int, height: int) -> str:
    if answer.empty:
        return "".join(f'<ul class="none"><li>{escape(why)}</li></ul>' for why in answer.lacking)
    draw: dict[str, Callable[[dict[str, Any], Answer, int, int], str]] = {
        "stat": _stat,
        "timeseries": _timeseries,
        "barchart": _barchart,
        "table": _table,
    }
    return draw[panel["type"]](panel, answer, width, height)


def _stat(panel: dict[str, Any], answer: Answer, _width: int, height: int) -> str:
    value = float(answer.rows[0][-1])
    steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", [])
    reached = [step["color"] for step in steps if step["value"] is None or value >= step["value"]]
    color = _RED if reached[-1:] == ["red"] else _GREEN
    text = escape(formatted(value, _unit(panel)))
    return f'<div class=big style="color:{color};line-height:{height}px">{text}</div>'


def _table(_panel: dict[str, Any], answer: Answer, _width: int, height: int) -> str:
    shown = answer.rows[: height // 14 - 2]
    head = "".join(f"<th>{escape(column)}</th>" for column in answer.columns)
    lines = ["".join(f"<td>{escape(str(value))}</td>" for value in row) for row in shown]
    more = len(answer.rows) - len(shown)
    after = f'<ul class="none"><li>and {more} more, which Grafana scrolls to</li></ul>' if more else ""
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{line}</tr>' for line in lines)}</table>{after}"


def _timeseries(panel: dict[str, Any], answer: Answer, width: int, height: int) -> str:
    names = [(_COLORS[number % len(_COLORS)], line.name) for number, line in enumerate(answer.lines)]
    legend, room = _legend(names, answer.lacking, width)
    height -= room
    times = [at for line in answer.lines for at, _ in line.points]
    first, last = min(times), max(times)
    top = _round_up(max(value for line in answer.lines for _, value in line.points))

    def x(at: float) -> float:
        return _LEFT + (width - _LEFT - _RIGHT) * ((at - first) / (last - first) if last > first else 0.5)

    def y(value: float) -> float:
        return height - _BOTTOM - (height - _BOTTOM - _TOP) * value / top

    parts = [_axis(top, _unit(panel), width, y)]
    form = "%H:%M:%S" if last - first < 3600 else "%H:%M"
    for share in (0.0, 0.5, 1.0) if last > first else (0.5,):
        at = first + (last - first) * share
        text = datetime.fromtimestamp(at, UTC).strftime(form)
        anchor = "middle" if 0 < share < 1 else "end" if share else "start"
        parts.append(_text(x(at), height - 4, text, anchor))
    for line, (color, _) in zip(answer.lines, names, strict=True):
        points = " ".join(f"{x(at):.1f},{y(value):.1f}" for at, value in line.points)
        parts.append(f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        if len(line.points) == 1:
            [(at, value)] = line.points
            parts.append(f'<circle cx="{x(at):.1f}" cy="{y(value):.1f}" r="2.5" fill="{color}"/>')
    return f"{_svg(parts, width, height)}{legend}"


def _barchart(panel: dict[str, Any], answer: Answer, width: int, height: int) -> str:
    """Numbers of one unit share a scale, as in Grafana; each other unit has its own."""
    fields = list(enumerate(answer.columns[1:], 1))
    units = {number: _unit(panel, name) for number, name in fields}
    tops: dict[str, float] = {}
    for number, _ in fields:
        highest = _round_up(max(float(row[number]) for row in answer.rows))
        tops[units[number]] = max(tops.get(units[number], 0), highest)
    several = len(tops) > 1
    names = [
        (_COLORS[at], f"{name}, up to {formatted(tops[units[number]], units[number])}" if several else name)
        for at, (number, name) in enumerate(fields)
    ]
    legend, room = _legend(names, answer.lacking, width)
    height -= room
    step = (width - _LEFT - _RIGHT) / len(answer.rows)
    each = step * 0.8 / len(fields)

    def y(value: float, top: float) -> float:
        return height - _BOTTOM - (height - _BOTTOM - _TOP) * value / top

    unit, first = next(iter(tops.items()))
    parts = [_axis(first, unit, width, lambda value: y(value, first))]
    for place, row in enumerate(answer.rows):
        left = _LEFT + place * step
        # A character of a label is up to 10 pixels wide.
        label = str(row[0])[: max(2, int(step / 9))]
        parts.append(_text(left + step / 2, height - 4, label, "middle"))
        for at, (number, _) in enumerate(fields):
            top = y(float(row[number]), tops[units[number]])
            bar = f'x="{left + step * 0.1 + at * each:.1f}" y="{top:.1f}" width="{each:.1f}"'
            parts.append(f'<rect {bar} height="{height - _BOTTOM - top:.1f}" fill="{_COLORS[at]}"/>')
    return f"{_svg(parts, width, height)}{legend}"


def _legend(names: Sequence[tuple[str, str]], lacking: Sequence[str], width: int) -> tuple[str, int]:
    """With the height that it needs."""
    items = [f'<li><i style="background:{color}"></i>{escape(name)}</li>' for color, name in names]
    items += [f'<li class="none">{escape(why)}</li>' for why in lacking]
    # An item is its text, at up to 6 pixels a character, a swatch and what is between two.
    lines, left = 1, 0
    for text in (*(name for _, name in names), *lacking):
        wide = sum(5.6 if character.isascii() else 10 for character in text) + 24
        lines, left = (lines, left + round(wide)) if left + wide < width - 12 or not left else (lines + 1, round(wide))
    return f"<ul>{' '.join(items)}</ul>", lines * _LEGEND_LINE + 2


def _axis(top: float, unit: str, width: int, y: Callable[[float], float]) -> str:
    parts = []
    for share in (0.0, 0.5, 1.0):
        at = y(top * share)
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{width - _RIGHT}" stroke="#e4e7ea"/>')
        parts.append(_text(_LEFT - 4, at + 3, formatted(top * share, unit), "end"))
    return "".join(parts)


def _svg(parts: Sequence[str], width: int, height: int) -> str:
    return f'<svg width="{width}" height="{height}" font-size="9" fill="{_GRAY}">{"".join(parts)}</svg>'


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _unit(panel: dict[str, Any], name: str = "") -> str:
    """Of a field, or of the panel."""
    for override in panel["fieldConfig"].get("overrides", []):
        if override["matcher"] == {"id": "byName", "options": name}:
            for setting in override["properties"]:
                if setting["id"] == "unit":
                    return str(setting["value"])
    return str(panel["fieldConfig"]["defaults"].get("unit", "short"))


def _round_up(value: float) -> float:
    """The next 1, 2 or 5 of its power of ten; 1 for what has no height."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(power * step for step in (1, 2, 5, 10) if value <= power * step * (1 + 1e-9))


def formatted(value: float, unit: str) -> str:
    """As Grafana would write it, or nearly: `1.5 ms`, `20 /s`, `3.2 MiB`, `₩1.2 Mil`."""
    before, after, base = "", "", 1000
    names = ("", " K", " Mil", " Bil")
    if unit == "s" and 0 < abs(value) < 1:
        value, after = value * 1000, " ms"
    elif unit == "s":
        after = " s"
    elif unit == "ops":
        after = " /s"
    elif unit == "currencyKRW":
        before = "₩"
    elif unit == "bytes":
        base, names = 1024, (" B", " KiB", " MiB", " GiB")
    size = 0
    while unit != "s" and abs(value) >= base and size < len(names) - 1:
        value, size = value / base, size + 1
    return f"{before}{value:.3g}{names[size] if unit != 's' else ''}{after}"
