"""Event times without a zone, and those that are later than their records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from sesacctl.errors import ConfigurationError
from sesacctl.events import CODECS, LAST_MS, ORDERS, record_time
from sesacctl.pipeline.sink.decoding import Decoding
from sesacctl.settings import load
from tests.helpers.events import AT, batch, message, order

SEOUL = ZoneInfo("Asia/Seoul")
ROW = b'"order_id":"o1","user_id":"u1","product_id":"p1","quantity":1,"total_amount":1'


def at_utc(value: bytes, **options: ZoneInfo) -> datetime:
    row, _ = CODECS[ORDERS].decode(b"u1", value, 0, **options)
    assert row.created_at is not None
    assert row.created_at.tzinfo is UTC
    return row.created_at


@pytest.mark.parametrize(
    "value",
    [
        b'{"event_type":"order_created","timestamp":"2026-01-01T09:00:00","order":{' + ROW + b"}}",
        b'{"event_type":"order_created","timestamp":"2026-01-01T09:00:00","more":1,"order":{' + ROW + b"}}",
        b"{" + ROW + b',"created_at":"2026-01-01T09:00:00"}',
    ],
)
def test_a_time_without_a_zone_is_one_of_the_setting(value: bytes) -> None:
    assert at_utc(value) == datetime(2026, 1, 1, 9, tzinfo=UTC)
    assert at_utc(value, zone=SEOUL) == datetime(2026, 1, 1, 0, tzinfo=UTC)


def test_a_time_with_a_zone_is_its_own() -> None:
    value = b"{" + ROW + b',"created_at":"2026-01-01T09:00:00+01:00"}'
    row, _ = CODECS[ORDERS].decode(b"u1", value, 0, zone=SEOUL)
    assert row.created_at == datetime(2026, 1, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize("year", ["0002-01-01T00:00:00", "9998-12-31T23:59:59"])
def test_the_earliest_and_latest_times_take_a_zone(year: str) -> None:
    for zone in ("Etc/GMT+12", "Pacific/Kiritimati"):
        at_utc(b"{" + ROW + f',"created_at":"{year}"}}'.encode(), zone=ZoneInfo(zone))


def test_the_setting_is_the_name_of_a_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load().event_timezone is UTC
    monkeypatch.setenv("SESAC_EVENT_TIMEZONE", "Asia/Seoul")
    assert load().event_timezone == SEOUL
    for wrong in ("KST9", "../etc/passwd", "Asia"):
        monkeypatch.setenv("SESAC_EVENT_TIMEZONE", wrong)
        with pytest.raises(ConfigurationError, match="SESAC_EVENT_TIMEZONE"):
            load()


def ahead(*times: datetime) -> int:
    """How many of these events are counted; the record of each is a second later than the one before."""
    found = batch([message(order(number, created_at=at)) for number, at in enumerate(times)])
    decoding = Decoding([found])
    decoding.finish()
    return decoding.counts[found.key].ahead


def test_only_events_over_an_hour_ahead_are_counted() -> None:
    hour, second = timedelta(hours=1), timedelta(seconds=1)
    began = AT.replace(microsecond=AT.microsecond // 1000 * 1000)  # records have milliseconds
    assert ahead(began + hour) == 0
    assert ahead(began + hour + second / 1000) == 1
    assert ahead(began + hour, began + hour + second, began + hour + 3 * second) == 1
    assert ahead(began - 9 * hour, began + 9 * hour, began + 9 * hour) == 2


@pytest.mark.parametrize("absurd", [-1, LAST_MS + 1, 2**62])
def test_a_record_with_an_absurd_time_has_none(absurd: int) -> None:
    assert record_time(absurd) is None
    assert record_time(1_000) == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
