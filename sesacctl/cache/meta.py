"""The facts beside the cached rows. Another program, or a person, may have put anything in their place."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sesacctl.cache.rows import FRESH, SIZE

META = "cache:meta"
_MOST_ROWS = 100_000
_LONGEST_PERIOD = 366 * 86_400.0
MOST_GENERATIONS = 2**62
"""One more than the largest number of a generation that sesacctl takes for its own."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """`period` in seconds, 0 if no refresh is planned; what is missing or makes no sense is as before the first."""

    generation: int | None = None
    time: datetime | None = None
    period: float = 0.0
    size: int = SIZE
    fresh: int = FRESH


def parse(fields: Mapping[bytes, bytes]) -> Meta:
    """The facts in the hash; each that makes no sense is left out, and the next refresh writes it again."""
    size = _read(fields, b"size", int, lambda rows: 1 <= rows <= _MOST_ROWS)
    fresh = _read(fields, b"fresh", int, lambda rows: 0 <= rows <= _MOST_ROWS)
    if size is None or fresh is None or fresh > size:
        size, fresh = SIZE, FRESH
    return Meta(
        generation=_read(fields, b"generation", int, lambda number: 0 <= number < MOST_GENERATIONS),
        time=_read(fields, b"time", datetime.fromisoformat, lambda at: bool(at.tzinfo) and 1 < at.year < 9999),
        period=_read(fields, b"period", float, lambda s: math.isfinite(s) and 0 <= s <= _LONGEST_PERIOD) or 0.0,
        size=size,
        fresh=fresh,
    )


def _read(fields: Mapping[bytes, bytes], name: bytes, kind: Callable[[str], T], fits: Callable[[T], Any]) -> T | None:
    try:
        value = kind(fields[name].decode())
    except (KeyError, ValueError):  # ValueError: also bytes that are not UTF-8
        return None
    return value if fits(value) else None
