"""The benchmark of growth: what it says of a line, and charts that anybody can read."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from benchmarks.chart import Panel, draw
from benchmarks.growth_report import Series, shape, steps

SVG = "{http://www.w3.org/2000/svg}"
XS = [1e4, 3e4, 1e5, 3e5, 1e6]


@pytest.mark.parametrize(
    ("ys", "said"),
    [
        ([5.0, 5.2, 4.9, 5.1, 5.0], "flat (slope 0.00)"),
        ([x / 1000 for x in XS], "linear (slope 1.00)"),
        ([x**0.5 for x in XS], "grows less than linearly (slope 0.50)"),
        ([x**2 for x in XS], "grows more than linearly (slope 2.00)"),
        ([1 / x for x in XS], "falls (slope -1.00)"),
        ([2.0, 2.0, 2.0, 6.0, 20.0], "flat (slope 0.00) up to 100k, then linear (slope 1.00)"),
    ],
)
def test_a_line_is_named_by_its_slope(ys: list[float], said: str) -> None:
    assert shape(list(zip(XS, ys, strict=True))) == said


def test_steps_are_geometric_and_round() -> None:
    assert steps(10_000, 1_000_000) == [10_000, 30_000, 100_000, 300_000, 1_000_000]
    assert steps(9, 90, 2) == [9, 20, 40, 90]
    assert steps(1, 9, 1.7) == [1, 2, 3, 5, 9]


def test_a_measure_that_could_not_be_taken_is_left_out() -> None:
    series = Series("a", "A", "rows", {"s": ["time"], "MB": ["memory"]})
    series.add(1, [{"time": 1.0, "memory": 0.0}, {"time": 3.0, "memory": 0.0}, {"time": 2.0, "memory": 0.0}])
    series.add(10, [{"time": 4.0, "memory": 50.0}])
    assert series.points == {"time": [(1, 2.0), (10, 4.0)], "memory": [(10, 50.0)]}
    assert "| 1 | 2 |  |" in series.table()
    assert "memory: a single point." in series.sentences()


def test_a_chart_says_what_it_shows_in_light_and_dark() -> None:
    lines = {"a < b": [(1.0, 2.0), (10.0, 2.1), (100.0, 20.0)], "c": [(1.0, 2.0), (100.0, 19.0)]}
    text = draw("Rows & more", "flat, then linear", "rows", [Panel("s", lines), Panel("MB", {"a < b": [(1.0, 9.0)]})])
    root = ElementTree.fromstring(text)
    assert [root.findtext(f"{SVG}title"), root.findtext(f"{SVG}desc")] == ["Rows & more", "flat, then linear"]
    assert root.get("aria-labelledby") == "title desc"
    assert "prefers-color-scheme: dark" in str(root.findtext(f"{SVG}style"))
    assert len(root.findall(f"{SVG}polyline")) == 3
    written = {each.text for each in root.iter(f"{SVG}text")}
    assert {"a < b", "c", "s", "MB", "rows", "1", "10", "100"} <= written
    [_, _, width, height] = map(float, root.get("viewBox", "").split())
    places = [(float(each.get("cx", 0)), float(each.get("cy", 0))) for each in root.iter(f"{SVG}circle")]
    assert all(0 < x < width and 0 < y < height for x, y in places)


def test_a_series_ends_where_the_time_ends() -> None:
    series = Series("a", "A", "rows", {"s": ["time"]})
    assert list(series.walk([1, 10, 100], 60)) == [1, 10, 100]
    assert series.notes == []
    assert list(series.walk([1, 10, 100], -1)) == []
    assert series.notes[0].startswith("Measured up to 1:")
