"""The help of every command: one style, whole at every width; and what is said of a value that does not fit."""

from __future__ import annotations

import re
from typing import Any

import pytest
from typer.testing import CliRunner

from sesacctl.cli import app
from tests.helpers.command_line import commands

LEAVES = dict(commands())
NAMES = ["", *LEAVES, *(name for name in app.COMMANDS if name not in LEAVES)]


def run(*arguments: str, columns: int = 100) -> Any:
    return CliRunner(env={"COLUMNS": str(columns), "NO_COLOR": "1"}).invoke(app.build(), list(arguments))


def plain(text: str) -> str:
    """In one line, without frames."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


@pytest.mark.parametrize("columns", [40, 80, 120])
@pytest.mark.parametrize("name", NAMES)
def test_help_fits_and_names_every_option_whole(name: str, columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))  # that of this process, in which commands are loaded
    shown = run(*name.split(), "--help", columns=columns).output
    # But for an option or argument with the words that it takes: they stay together.
    assert [
        line
        for line in shown.splitlines()
        if len(line) > columns and not re.match(r" +((-\w, )?--\S+|[A-Z]+) \S+$", line)
    ] == []
    words = set(re.split(r"[\s,│]+", shown))
    params = LEAVES[name].params if name in LEAVES else []
    assert {option for param in params if param.param_type_name == "option" for option in param.opts} <= words
    assert {param.metavar for param in params if param.param_type_name == "argument"} <= words | {
        word.strip("[]") for word in words
    }


@pytest.mark.parametrize("name", LEAVES)
def test_a_flag_has_no_type_and_a_value_one_word(name: str) -> None:
    shown = run(*name.split(), "--help").output
    assert not re.search(r"<\w+( \w+)?>|\[\d+<=x|x>=", shown)
    for param in LEAVES[name].params:
        if param.param_type_name == "argument":
            assert param.metavar == param.metavar.upper()
        elif param.is_flag:
            assert param.metavar == ""
        else:
            assert re.fullmatch(r"[A-Z,]+|[a-z\d|-]+[A-Z|]*", param.metavar), param.metavar


@pytest.mark.parametrize("name", [name for name in LEAVES if any(p.metavar == "DURATION" for p in LEAVES[name].params)])
def test_a_bare_number_is_said_to_be_seconds(name: str) -> None:
    assert "DURATION: 30s, 10m, 2h or 7d; a number alone is in seconds." in plain(run(*name.split(), "--help").output)


def numbers() -> list[tuple[str, str]]:
    return [
        (name, param.opts[-1])
        for name, command in LEAVES.items()
        for param in command.params
        if param.param_type_name == "option" and param.metavar == "NUMBER"
    ]


@pytest.mark.parametrize(("name", "option"), numbers())
@pytest.mark.parametrize("value", ["many", "1.5.5", "-" + "9" * 40, "9" * 40])
def test_a_wrong_number_is_refused_in_plain_words(name: str, option: str, value: str) -> None:
    result = run(*name.split(), option, value)
    assert result.exit_code == 2
    said = plain(result.output)
    assert not re.search(r"Input should|valid integer|Value error", said)
    assert re.search(
        r"it should be (a (whole )?number|at (least|most) [\d,-]+)|is not a (number|range)|is not in", said
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("consume -n abc", "Invalid value for '-n' / '--instances': it should be a whole number"),
        ("consume -n 0", "it should be at least 1"),
        ("metrics --port 99999", "it should be at most 65,535"),
        ("dlq show x", "Invalid value for 'ID': it should be a whole number"),
        ("cache sample x", "Invalid value for 'WHICH': 'x' is not one of 'users', 'products'."),
        ("events check", "Missing argument 'FILE'."),
        ("lag --window soon", "'soon' is not a duration such as 30s, 10m, 2h or 7d; a number alone is in seconds"),
    ],
)
def test_a_mistake_names_the_option_and_what_it_should_be(line: str, said: str) -> None:
    assert said in plain(run(*line.split()).output)
