"""Numbers as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from sesacctl import formatting


def test_how_many() -> None:
    assert [formatting.plural(number, "order") for number in (0, 1, 2, 1234)] == [
        "0 orders",
        "1 order",
        "2 orders",
        "1,234 orders",
    ]
    assert formatting.plural(2, "hash", "hashes") == "2 hashes"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 KB"),
        (2_062_384, "2.1 MB"),
        (999_960, "1.0 MB"),
        (12_345_678_901_234, "12,345.7 GB"),
    ],
)
def test_how_large(number: int, text: str) -> None:
    assert formatting.bytes_text(number) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3, "0 s"),
        (0.44, "0.4 s"),
        (8.4, "8 s"),
        (119, "119 s"),
        (300, "5 min"),
        (7300, "2 h"),
        (1_000_000, "12 d"),
    ],
)
def test_how_long(seconds: float, text: str) -> None:
    assert formatting.duration_text(seconds) == text


def test_when() -> None:
    at = datetime(2026, 11, 23, 5, 0, 7, 123456, timezone(timedelta(hours=9)))
    assert formatting.time_text(at) == "2026-11-22 20:00:07Z"
    assert formatting.clock_text(at) == "20:00:07Z"
    assert formatting.iso_text(at) == "2026-11-22T20:00:07.123456Z"
    assert formatting.iso_text(at, "milliseconds") == "2026-11-22T20:00:07.123Z"
    assert formatting.time_text(datetime(2, 1, 1, tzinfo=UTC)) == "0002-01-01 00:00:00Z"
