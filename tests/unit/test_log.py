"""Log records: one line each, for people or as JSON, that no data can break out of."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
import sys
from pathlib import Path

import pytest

import sesacctl
from sesacctl import log
from sesacctl.log import JsonFormatter, TextFormatter, printable

NASTY = "\x1b[2J\x9b31m\r\n\u202e\u2028\ud800\x00\x7f\u200b"


def record(message: str, *, failing: bool = False, **extra: object) -> logging.LogRecord:
    """As `logging` makes it."""
    error = ValueError(NASTY)
    info = (ValueError, error, None) if failing else None
    made = logging.LogRecord("sesacctl.pipeline.sink.store", logging.WARNING, "x.py", 1, message, (), info)
    vars(made).update(extra)
    return made


@pytest.mark.parametrize("text", ["", "plain", "주문 1,000건 처리", "émoji 🎉", "[/x] %s {}"])
def test_printable_text_is_unchanged(text: str) -> None:
    assert printable(text) == text


def test_terminal_control_characters_are_escaped() -> None:
    shown = printable(f"a{NASTY}b")
    assert shown == "a\\x1b[2J\\x9b31m\\r\\n\\u202e\\u2028\\ud800\\x00\\x7f\\u200bb"
    assert printable("a\tb") == "a\\tb"


def test_text_has_time_level_action_message_and_fields() -> None:
    line = TextFormatter().format(record("stored", action="consume.step", rows=3, table="주문"))
    assert re.match(r"\d\d:\d\d:\d\dZ ", line)
    assert line.split(" ", 1)[1] == "WARNING consume.step: stored rows=3 table=주문"


def test_without_an_action_the_module_is_named() -> None:
    assert "pipeline.sink.store: stored" in TextFormatter().format(record("stored"))
    assert json.loads(JsonFormatter().format(record("stored")))["action"] == "pipeline.sink.store"


def test_json_is_one_document_a_line() -> None:
    document = json.loads(JsonFormatter().format(record("저장", action="consume.step", rows=3, at=Path("/x"))))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", document.pop("time"))
    assert document == {
        "level": "warning",
        "logger": "sesacctl.pipeline.sink.store",
        "action": "consume.step",
        "message": "저장",
        "rows": 3,
        "at": "/x",
    }


def test_no_data_breaks_out_of_a_line() -> None:
    nasty = record(NASTY, action="x.y", value=NASTY)
    lines = [TextFormatter().format(nasty), JsonFormatter().format(nasty)]
    for line in lines:
        assert line == printable(line)
        assert line.encode()
    assert json.loads(lines[1])["value"] == NASTY


def test_not_even_in_a_traceback() -> None:
    nasty = record("failed", failing=True)
    lines = TextFormatter().format(nasty).split("\n")
    assert lines[1].startswith("ValueError: ")
    assert all(line == printable(line) for line in lines)
    assert NASTY in json.loads(JsonFormatter().format(nasty))["exception"]


def test_foreign_loggers_are_heard_only_from_error_on(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.root
    before, level = root.handlers[:], root.level
    try:
        log.configure("info", "text")
        logging.getLogger("sesacctl.x").debug("no")
        logging.getLogger("sesacctl.x").info("ours")
        logging.getLogger("redis").warning("no")
        logging.getLogger("kafka").error("no")
        logging.getLogger("sqlalchemy").error("theirs")
        log.configure("error", "json")
        logging.getLogger("sesacctl.x").warning("no")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        logging.getLogger("sesacctl").setLevel(logging.NOTSET)
        logging.getLogger("kafka").setLevel(logging.NOTSET)
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split(": ", 1)[1] for line in err.splitlines()] == ["ours", "theirs"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_each_log_line_has_the_configured_fields(form: log.Format, capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.root
    before, level = root.handlers[:], root.level
    try:
        log.configure("info", form, instance=0)
        logging.getLogger("sesacctl.x").warning("one", extra={"action": "x.y", "rows": 3})
        logging.getLogger("sqlalchemy").error("two")
        logging.getLogger("sesacctl.x").info("three", extra={"action": "x.y", "instance": 7})
    finally:
        root.handlers[:] = before
        root.setLevel(level)
        logging.getLogger("sesacctl").setLevel(logging.NOTSET)
        logging.getLogger("kafka").setLevel(logging.NOTSET)
    lines = capsys.readouterr().err.splitlines()
    if form == "json":
        assert [json.loads(line)["instance"] for line in lines] == [0, 0, 7]
    else:
        assert [line.split(": ", 1)[1] for line in lines] == [
            "one rows=3 instance=0",
            "two instance=0",
            "three instance=7",
        ]


def calls_without_an_action() -> list[str]:
    """Every call of a logger in our sources without `extra={"action": …}` of the form noun.verb."""
    found = []
    for path in Path(sesacctl.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id in ("log", "logger")
                and node.func.attr in ("debug", "info", "warning", "error", "exception", "critical")
            ):
                extra = next((keyword.value for keyword in node.keywords if keyword.arg == "extra"), None)
                text = ast.unparse(extra) if extra else ""
                if "'action': " not in text:
                    found.append(f"{path.name}:{node.lineno}")
    return found


def test_every_record_of_sesacctl_has_an_action() -> None:
    assert calls_without_an_action() == []


def test_all_of_stderr_is_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what other libraries write there, in pieces, with or without an end of line."""
    below = io.StringIO()
    monkeypatch.setattr("sys.stderr", below)
    monkeypatch.setattr("atexit.register", lambda _: None)
    log.only_json()
    log.write("info", "next", "sesacctl audit", exit_code=5)
    print("Traceback", end="", file=sys.stderr)
    print(" (most recent call last):\n\n  File", file=sys.stderr)
    print('{"not": one', file=sys.stderr)
    print("[1]", end="", file=sys.stderr)
    assert isinstance(sys.stderr, log._JsonLines)
    sys.stderr.finish()
    found = [json.loads(line) for line in below.getvalue().splitlines()]
    assert [each["message"] for each in found] == [
        "sesacctl audit", "Traceback (most recent call last):", "  File", '{"not": one', "[1]",
    ]  # fmt: skip
    assert [each["action"] for each in found] == ["next", "stderr", "stderr", "stderr", "stderr"]
