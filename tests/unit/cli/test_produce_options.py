"""What `sesacctl produce` takes and what it refuses, and what it shows."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from sesacctl.cli.produce import screen
from sesacctl.pipeline.produce.producer import ProducePlan, ProduceReport
from tests.helpers.command_line import problem


@pytest.mark.parametrize(
    "options",
    [
        ("--rate", "-1"),
        ("--rate", "nan"),
        ("--rate", "inf"),
        ("--rate", "1e308"),
        ("--rate", "fast"),
        ("--count", "0"),
        ("--count", "-1"),
        ("--carts", "5-2"),
        ("--carts", "0"),
        ("--carts", "1-"),
        ("--carts", "-3"),
        ("--carts", "many"),
        ("--carts", "1-101"),
        ("--duration", "0"),
        ("--duration", "soon"),
        ("--new-users", "-1"),
        ("--new-users", "1000001"),
        ("--new-products", "nan"),
        ("--delivery-timeout", "x"),
        ("--delivery-timeout", "0.5"),
        ("--random-seed", "x"),
    ],
)
def test_inconsistent_options_are_refused(options: tuple[str, str]) -> None:
    assert problem(["produce", *options])


@pytest.mark.parametrize(
    "options",
    [
        ("--rate", "0"),
        ("--rate", "0.5"),
        ("--rate", "1e6"),
        ("--carts", "3"),
        ("--carts", "1-10"),
        ("--duration", "30s"),
        ("--duration", "2h"),
        ("--count", "1", "--ledger", "l.jsonl", "--random-seed", "7", "--new-users", "0"),
    ],
)
def test_consistent_options_are_accepted(options: tuple[str, ...]) -> None:
    assert problem(["produce", *options]) is None


def report(**values: object) -> ProduceReport:
    figures: dict[str, object] = {
        "orders": 12_345, "new_users": 3, "new_products": 1, "sent": 12_349, "acknowledged": 12_000, "failed": 0,
        "in_flight": 349, "refused": 0, "seconds": 12.3, "rate": 1003.6, "rate_now": 998.7, "ack_p50_ms": 12.0,
        "ack_p99_ms": 40.0, "linger_ms": 4.2, "broker_ms": 9.8, "waiting_for": None, "first_failure": None,
    }  # fmt: skip
    return ProduceReport(**(figures | values))  # type: ignore[arg-type]


def shown(report: ProduceReport, plan: ProducePlan) -> str:
    console = Console(width=80, file=io.StringIO())
    with console.capture() as capture:
        console.print(screen(report, plan))
    return capture.get()


def test_the_screen_fits_80_columns_and_tells_how_far_it_is() -> None:
    text = shown(report(), ProducePlan(rate=1000, count=50_000, seconds=60))
    assert all(len(line) <= 80 for line in text.splitlines())
    for part in (
        "12,345 of 50,000",
        "999 now",
        "1,000 orders/s wanted",
        "p99 40 ms",
        "4.2 ms linger",
        "9.8 ms brokers",
        "12 s of 60 s",
    ):
        assert part in text


def test_the_screen_says_what_is_waited_for() -> None:
    text = shown(
        report(waiting_for="Kafka", ack_p50_ms=None, ack_p99_ms=None, linger_ms=None, broker_ms=None), ProducePlan()
    )
    assert "Kafka" in text
    assert "as fast as Kafka takes them" in text
