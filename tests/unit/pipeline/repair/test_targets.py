"""Where offsets are to be moved, as a person says it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sesacctl.errors import UsageError
from sesacctl.pipeline.repair.targets import parse

NOW = datetime(2026, 11, 29, 9, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("earliest", "earliest"),
        (" latest ", "latest"),
        ("0", 0),
        ("128", 128),
        ("-1h", NOW - timedelta(hours=1)),
        ("-90m", NOW - timedelta(minutes=90)),
        ("-30s", NOW - timedelta(seconds=30)),
        ("-2d", NOW - timedelta(days=2)),
        ("yesterday 20:00", datetime(2026, 11, 28, 20, tzinfo=UTC)),
        ("yesterday", datetime(2026, 11, 28, tzinfo=UTC)),
        ("today 08:15:30", datetime(2026, 11, 29, 8, 15, 30, tzinfo=UTC)),
        ("yesterday 20:00+09:00", datetime(2026, 11, 28, 11, tzinfo=UTC)),
        ("2026-11-22T20:00", datetime(2026, 11, 22, 20, tzinfo=UTC)),
        ("2026-11-22 20:00:00Z", datetime(2026, 11, 22, 20, tzinfo=UTC)),
        ("2026-11-22T20:00:00+09:00", datetime(2026, 11, 22, 11, tzinfo=UTC)),
        ("1969-12-31T23:00", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_targets_are_read(text: str, target: object) -> None:
    assert parse(text, NOW) == target


@pytest.mark.parametrize(
    "text", ["", "-1", "1h", "-1w", "-999999999d", "noon", "yesterday 25:00", "yesterday noon", "٣", "2026-13-01", "-h"]
)
def test_what_is_none_of_them_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not earliest, latest, an offset, a time such as"):
        parse(text, NOW)


@pytest.mark.parametrize("text", ["2026-11-29T09:31", "today 23:00", "9999-12-31T23:59:59-12:00"])
def test_a_moment_that_is_still_to_come_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"is still to come: it is 2026-11-29 09:30:00Z|is not earliest"):
        parse(text, NOW)
