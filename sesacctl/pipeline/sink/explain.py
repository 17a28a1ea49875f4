"""Why a record is not an event, in words: for dead letters, and for those who look before a consumer does."""

from __future__ import annotations

from sesacctl import formats
from sesacctl.envelopes import DoesNotFit
from sesacctl.events import Malformed, Reason
from sesacctl.log import printable

_WORDS = 399  # each of the two halves of a detail


def explain(error: Malformed, key: bytes | None, value: bytes | None, headers: formats.Headers) -> str:
    """What is wrong, then what the key or the value looks like; without control characters, which PostgreSQL refuses.

    At most 800 characters, as both may quote the record.
    """
    said = tidy(str(error))
    if value is None or isinstance(error, DoesNotFit):  # its format is known, and was of no use
        return said
    seen = formats.describe_key(key) if error.reason is Reason.WRONG_KEY else formats.describe(value, headers)
    return f"{said}; {tidy(seen)}" if seen else said


def tidy(text: str) -> str:
    """Text for a detail: without control characters, and not longer than half of one."""
    shown = printable(text[:_WORDS])
    return shown if len(shown) <= _WORDS else f"{shown[: _WORDS - 1]}…"
