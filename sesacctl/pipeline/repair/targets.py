"""Where offsets are to be moved, as a person says it."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Literal

from sesacctl.errors import UsageError
from sesacctl.formatting import time_text

EARLIEST: Final = "earliest"
LATEST: Final = "latest"
_AGO = re.compile(r"-(\d{1,9})([smhd])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DAY = re.compile(r"(today|yesterday)(?:[ T](\S+))?", re.ASCII)
_HINT = "sesacctl offsets reset --help"


def parse(text: str, now: datetime) -> Literal["earliest", "latest"] | int | datetime:
    """`earliest`, `latest`, an offset, or a moment: ISO 8601, `-1h`, `yesterday 20:00`. Without a zone it is UTC.

    Raises:
        UsageError: it is something else, or a moment that is still to come.
    """
    text = text.strip()
    if text == EARLIEST:
        return EARLIEST
    if text == LATEST:
        return LATEST
    if text.isascii() and text.isdecimal():
        return int(text)
    at = _moment(text, now)
    if at is None:
        raise UsageError(
            f"'{text}' is not earliest, latest, an offset, a time such as 2026-11-22T20:00 or 'yesterday 20:00',"
            " nor how long ago, such as -1h",
            hint=_HINT,
        )
    if at > now:
        raise UsageError(f"'{text}' is still to come: it is {time_text(now)}", hint=_HINT)
    # Kafka takes -1 ms for the latest offset, -2 ms for the earliest.
    return max(at, datetime.fromtimestamp(0, UTC))


def _moment(text: str, now: datetime) -> datetime | None:
    try:
        if ago := _AGO.fullmatch(text):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        if day := _DAY.fullmatch(text):
            return _on_day(now.date() - timedelta(days=day[1] == "yesterday"), day[2] or "00:00")
        return _in_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def _on_day(day: date, clock: str) -> datetime:
    return _in_utc(datetime.combine(day, time.fromisoformat(clock)))


def _in_utc(at: datetime) -> datetime:
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
