"""Options that commands share."""

from __future__ import annotations

import logging

import pytest
import typer

from sesacctl.cli import options
from sesacctl.cli.options import LogFormat, LogLevel, Shared, begin, duration


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> Shared:
    """No shared option given yet."""
    fresh = Shared()
    monkeypatch.setattr(options, "shared", fresh)
    return fresh


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("50", 50), ("30s", 30), ("10m", 600), ("2h", 7200), ("0.5", 0.5), (" 1.5m ", 90), (60.0, 60)],
)
def test_durations(text: str | float, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-1", "5 m", "1w", "1h30m", "abc", "1e3", "inf", "nan", "٥", ".5", "5.", "s"]
)
def test_invalid_durations_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="not a duration such as 30s, 10m, 2h or 7d"):
        duration(text)


@pytest.mark.parametrize("text", ["99999999h", "1" * 400, "87601h"])
def test_overlong_durations_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is longer than ten years"):
        duration(text)


def level() -> str:
    return logging.getLevelName(logging.getLogger("sesacctl").level).lower()


@pytest.mark.usefixtures("shared")
def test_the_log_is_as_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    begin()
    assert level() == "info"
    monkeypatch.setenv("SESAC_LOG_LEVEL", "debug")
    monkeypatch.setenv("SESAC_LOG_FORMAT", "json")
    begin()
    assert level() == "debug"
    assert type(logging.root.handlers[0].formatter).__name__ == "JsonFormatter"


def test_the_log_options_come_before_all_else(shared: Shared, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESAC_LOG_LEVEL", "error")
    shared.log_level, shared.log_format = LogLevel.DEBUG, LogFormat.JSON
    assert begin(sesac_log_level="warning").sesac_log_level == "debug"
    assert level() == "debug"


def test_quiet_leaves_only_errors_unless_a_level_is_given(shared: Shared) -> None:
    shared.quiet = True
    begin()
    assert level() == "error"
    shared.log_level = LogLevel.INFO
    begin()
    assert level() == "info"
