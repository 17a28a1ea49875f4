"""Numbers and times as people read them: how many, how large, how long, when."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, datetime
from typing import overload


def plural(number: int, one: str, many: str | None = None) -> str:
    """`1 order`, `2,000 orders`; `many` where an s does not make the plural."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def bytes_text(number: float) -> str:
    """`512 bytes`, `2.1 MB`: in powers of 1000."""
    if number < 1000:
        return f"{number:.0f} bytes"
    for unit in ("KB", "MB"):
        number /= 1000
        if number < 999.95:
            return f"{number:.1f} {unit}"
    return f"{number / 1000:,.1f} GB"


def duration_text(seconds: float) -> str:
    """`0.4 s`, `90 s`, `5 min`, `3 h`, `12 d`; nothing is younger than now."""
    seconds = max(0.0, seconds)
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 2 or not seconds else f"{seconds:.1f} s"


def time_text(at: datetime) -> str:
    """`2026-11-22 20:00:00Z`: UTC, in whole seconds; commands that take a time take it like this, in quotes."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(sep=" ", timespec="seconds") + "Z"


def clock_text(at: datetime) -> str:
    """`20:00:00Z`: the end of `time_text`, where the day is today."""
    return time_text(at).partition(" ")[2]


def iso_text(at: datetime, timespec: str = "auto") -> str:
    """`2026-11-22T20:00:00.123456Z`: UTC, for programs; `timespec` as for `datetime.isoformat`."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec=timespec) + "Z"


@overload
def readable(raw: bytes) -> str: ...
@overload
def readable(raw: bytes | None) -> str | None: ...
def readable(raw: bytes | None) -> str | None:
    """Bytes as text as far as they are UTF-8, the others as escapes; None stays. Not yet safe for a terminal."""
    return None if raw is None else raw.decode("utf-8", errors="backslashreplace")


def base64_text(raw: bytes | None) -> str | None:
    """Bytes in base64; None stays."""
    return None if raw is None else b64encode(raw).decode()
