"""What is printed: safe in any terminal, whole in a narrow one, the same keys as JSON."""

from __future__ import annotations

import io
import json
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from sesacctl.cli import options, render
from sesacctl.cli.options import Output
from sesacctl.errors import ConfigurationError, Declined, ServerNotStarted, ServerUnreachable, UsageError

KOREAN = [("u_1", "김철수", "서울특별시"), ("u_2", "남궁민수", "부산"), ("u_3", "Lee", "제주")]


@dataclass(frozen=True)
class Row:
    """A result."""

    name: str
    count: int
    path: Path = Path("/x")


def lines(renderable: Any, width: int = 80, **options: Any) -> list[str]:
    """As a terminal of that width shows it."""
    console = Console(file=io.StringIO(), width=width, **options)
    console.print(renderable)
    file = console.file
    assert isinstance(file, io.StringIO)
    return [line.rstrip() for line in file.getvalue().splitlines()]


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options.shared, "quiet", True)


def test_markup_and_escape_codes_in_data_are_only_text() -> None:
    shown = "\n".join(lines(render.table("[b]t", ("a",), [["[/x] [red]no[/red]"], ["\x1b[31m\x9b"], ["\u202eevil"]])))
    assert "[/x] [red]no[/red]" in shown
    assert "[b]t" in shown
    assert "\\x1b[31m\\x9b" in shown
    assert "\\u202eevil" in shown


def test_korean_keeps_the_columns_straight() -> None:
    shown = lines(render.table("고객", ("id", "이름", "지역"), KOREAN))[1:]
    assert len({cell_len(line) for line in shown}) == 1
    assert "남궁민수" in "\n".join(shown)


def test_numbers_are_right_aligned_with_separators() -> None:
    shown = lines(render.table("", ("n", "flag"), [(1234567, True), (1, False)]))
    assert any("1,234,567" in line for line in shown)
    assert any(" 1 " in line for line in shown)
    assert "True" in "\n".join(shown)


@pytest.mark.parametrize(
    "cells",
    [
        ("7", "1,234,567"),
        (Text("7", "bold red"), Text("1,234,567")),
        ("2.1 MB", "512 bytes"),
        ("0.4 s", "90 s"),
        (None, "–", 3, "not yet"),
    ],
    ids=str,
)
def test_numbers_with_colour_or_unit_stand_on_the_right(cells: tuple[object, ...]) -> None:
    grid = render.table("", ("name", "a long heading"), [("x", cell) for cell in cells])
    assert [column.justify for column in grid.columns] == ["left", "right"]


@pytest.mark.parametrize("cells", [("0008", "0009"), ("2026-11-22 20:00:00Z",), ("8.1.4",), ("1, 2",), ("-", "")])
def test_what_counts_nothing_stands_on_the_left(cells: tuple[object, ...]) -> None:
    assert render.table("", ("a",), [(cell,) for cell in cells]).columns[0].justify == "left"


def test_times_in_json_have_one_form(capsys: pytest.CaptureFixture[str]) -> None:
    """In UTC with a Z, whatever zone PostgreSQL's session has; as exact as they are."""
    seoul = timezone(timedelta(hours=9))
    times = {"a": datetime(2026, 11, 23, 5, tzinfo=seoul), "b": [(datetime(2026, 11, 22, 20, 0, 0, 123, UTC),)]}
    render.show(times, Output.JSONL, str)
    document = json.loads(capsys.readouterr().out)
    assert document == {"schema_version": 1, "a": "2026-11-22T20:00:00Z", "b": [["2026-11-22T20:00:00.000123Z"]]}


@pytest.mark.parametrize(("number", "shown"), [(1234567.8, "1,234,567.8"), (0.001, "0.001"), (-1000.0, "-1,000.0")])
def test_fractions_have_separators_too(number: float, shown: str) -> None:
    assert render.text(number).plain == shown


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_long_value_takes_no_room_from_the_labels(width: int) -> None:
    facts = {"partition": 3, "offset": 1_234_567, "detail": "word " * 50, "value": "0123456789" * 60, "discarded": None}
    shown = lines(render.details("Dead letter 7", facts), width)
    assert all(cell_len(line) <= width for line in shown)
    assert all(any(line.startswith(f"│ {label} ") for line in shown) for label in facts)
    assert "0123456789" * 60 in "".join(line.split("│")[2].strip() for line in shown if line.startswith("│"))


@pytest.mark.parametrize("width", [20, 40, 60])
def test_a_narrow_terminal_loses_nothing(width: int) -> None:
    columns = ("topic", "partitions", "under-replicated", "min ISR", "retention", "size", "leaders")
    row = ("orders", 9, 0, 2, "30 d", "12.5 MB", "1,2,3,1,2,3,1,2,3")
    shown = lines(render.table("Topics", columns, [row, row]), width)
    assert all(cell_len(line) <= width for line in shown)
    text = " ".join(shown)
    for name, value in zip(columns, map(str, row), strict=True):
        assert f"{name}: {value}" in text
    assert "…" not in text


def test_a_heading_is_not_broken_where_the_table_is_narrow() -> None:
    shown = lines(render.table("More words than the table is wide", ("a", "b"), [(1, 2)]))
    assert shown[0] == "More words than the table is wide"


def test_a_wide_terminal_has_a_table() -> None:
    assert any(line.startswith("┏") for line in lines(render.table("", ("a", "b", "c"), [(1, 2, 3)])))


def test_an_ascii_terminal_gets_an_ascii_table() -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    Console(file=file, width=80).print(render.table("", ("a",), [["b"]]))
    file.flush()
    assert b"| b |" in raw.getvalue()


def test_json_has_the_same_keys_for_one_and_many(capsys: pytest.CaptureFixture[str]) -> None:
    render.show(Row("주문", 3), Output.JSON, str)
    assert json.loads(capsys.readouterr().out) == {"schema_version": 1, "name": "주문", "count": 3, "path": "/x"}
    render.show([Row("a", 1), Row("b", 2)], Output.JSON, str)
    document = json.loads(capsys.readouterr().out)
    assert [item["name"] for item in document["items"]] == ["a", "b"]
    render.show([Row("a", 1), Row("b", 2)], Output.JSONL, str)
    each = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["schema_version"], line["name"]) for line in each] == [(1, "a"), (1, "b")]
    render.show(Row("a", 1), Output.JSONL, str)
    assert capsys.readouterr().out.count("\n") == 1


def test_watching_a_file_prints_one_result_after_the_other(capsys: pytest.CaptureFixture[str]) -> None:
    stop, counts = threading.Event(), iter(range(10))

    def fetch() -> Row:
        count = next(counts)
        if count == 2:
            stop.set()
        return Row("a", count)

    render.watch(fetch, 0.01, stop, Output.JSON, str)
    out = capsys.readouterr().out
    assert [json.loads(line)["count"] for line in out.splitlines()] == [0, 1, 2]
    assert "\x1b" not in out


def test_watching_says_once_what_it_waits_for(capsys: pytest.CaptureFixture[str]) -> None:
    stop, answers = threading.Event(), iter([Row("a", 0), None, None, Row("a", 3)])

    def fetch() -> Row:
        answer = next(answers)
        if answer is None:
            raise ServerUnreachable("away")
        if answer.count == 3:
            stop.set()
        return answer

    render.watch(fetch, 0.01, stop, Output.JSONL, str)
    assert capsys.readouterr().err == "away: waiting\n"


@pytest.mark.parametrize("error", [ServerUnreachable("away"), ConfigurationError("wrong")])
def test_watching_ends_when_it_cannot_begin(error: Exception) -> None:
    def fetch() -> Row:
        raise error

    with pytest.raises(type(error)):
        render.watch(fetch, 0.01, threading.Event(), Output.TABLE, str)


def test_an_error_shows_its_log_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    render.show_error(ServerNotStarted("no [b]", hint="up", log_lines=["FATAL: [/x]"]))
    assert capsys.readouterr().err == "FATAL: [/x]\nerror: no [b]\nnext:  up\n"


@pytest.mark.usefixtures("quiet")
def test_advice_is_silent_when_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    render.say("x")
    render.next_command("y")
    with render.steps("z") as on_step:
        on_step("step")
    assert capsys.readouterr() == ("", "")


def test_steps_are_lines_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with render.steps("starting") as on_step:
        on_step("one")
        on_step("two")
    assert capsys.readouterr().err == "one\ntwo\n"


@pytest.mark.parametrize("variable", ["FORCE_COLOR", "TTY_COMPATIBLE"])
def test_forced_colours_make_no_animation_in_a_file(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "1")
    assert not render.is_live(Console(file=io.StringIO()))


def test_confirm_needs_a_terminal_or_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    render.confirm("Really?", yes=True)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(UsageError, match="no terminal"):
        render.confirm("Really?", yes=False)


@pytest.mark.parametrize("answer", ["n\n", "\n", ""])
def test_confirm_takes_only_a_yes(answer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(answer))
    with pytest.raises(Declined) as caught:
        render.confirm("Really?", yes=False)
    assert (str(caught.value), caught.value.exit_code) == ("Nothing was done.", 2)
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    render.confirm("Really?", yes=False)
