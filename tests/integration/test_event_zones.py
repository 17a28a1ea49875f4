"""Event times without a zone, from Kafka to the row, and what `health` says of those that are in the future."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sesacctl.events import ORDERS
from sesacctl.pipeline.audit.partitions import read_partitions
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.events import Message, add_parents, query, send
from tests.helpers.topics import make_topics

SEOUL = ZoneInfo("Asia/Seoul")


def naive(number: int, at: datetime, user: str = "u1") -> Message:
    """An order as Python's `datetime.now().isoformat()` dates it."""
    row = {"order_id": f"o{number}", "user_id": user, "product_id": "p1", "quantity": 1, "total_amount": 1}
    event = {"event_type": "order_created", "timestamp": at.replace(tzinfo=None).isoformat(), "order": row}
    return user.encode(), json.dumps(event).encode()


def consume(sesacctl: Cli, **environment: str) -> dict[str, Any]:
    done = sesacctl("consume", "-n", 1, "--until-empty", "-o", "json", timeout=120, **environment)
    assert done.returncode == 0, done.stderr
    totals: dict[str, Any] = json.loads(done.stdout)["totals"]
    return totals


def event_times(sesacctl: Cli) -> list[dict[str, str]]:
    checks = json.loads(sesacctl("health", "-o", "json").stdout)["checks"]
    return [check for check in checks if check["name"] == "event times"]


def error(settings: Settings, at: datetime) -> list[float]:
    """By how many hours the rows' times are wrong."""
    rows = query(settings, "SELECT created_at FROM orders")
    return [round((found - at).total_seconds() / 3_600, 3) for (found,) in rows]


def test_naive_korean_times_are_counted_and_reported(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    add_parents(settings)
    now = datetime.now(SEOUL)
    send(settings, ORDERS, [naive(number, now) for number in range(5)])
    assert consume(sesacctl)["ahead"] == 5
    assert error(settings, now) == [9.0] * 5
    assert sum(partition.counts.ahead for partition in read_partitions(settings)) == 5
    [line] = event_times(sesacctl)
    assert line["verdict"] == "warning"
    assert line["evidence"].startswith("5 events later than Kafka's own time")
    assert "SESAC_EVENT_TIMEZONE" in line["next"]
    assert "sesacctl_events_ahead_total{" in sesacctl("metrics", "--once").stdout
    assert sesacctl("offsets", "reset", "--to", "earliest", "--yes").returncode == 0
    assert event_times(sesacctl) == []


def test_naive_times_use_the_event_timezone_even_if_parked(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    add_parents(settings)
    now = datetime.now(SEOUL)
    send(settings, ORDERS, [*(naive(number, now) for number in range(5)), naive(9, now, user="u900")])
    seoul = {"SESAC_EVENT_TIMEZONE": "Asia/Seoul"}
    totals = consume(sesacctl, **seoul)
    assert (totals["stored"], totals["parked"], totals["ahead"]) == (5, 1, 0)
    query(settings, "INSERT INTO users (user_id, name) VALUES ('u900', 'n')")
    send(settings, ORDERS, [naive(10, now)])
    consume(sesacctl, **seoul)
    assert error(settings, now) == [0.0] * 7
    assert event_times(sesacctl) == []


def test_slightly_fast_clocks_are_not_counted(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    add_parents(settings)
    send(settings, ORDERS, [naive(1, datetime.now(UTC) + timedelta(minutes=50))])
    assert consume(sesacctl)["ahead"] == 0
