"""What `consume` shows of its instances."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from sesacctl.cli.consume import _line, _table
from sesacctl.pipeline.sink.counts import Counts
from sesacctl.pipeline.supervise.member import ConsumeReport, InstanceReport


def instance(number: int, state: str, error: str | None = None) -> InstanceReport:
    return InstanceReport(
        instance=number,
        member=f"shop-{number}",
        pid=None if state == "stopped" else 100 + number,
        state=state,
        partitions=["orders-1", "orders-0"],
        counts=Counts(stored=1_234),
        rate=56.7,
        lag=89,
        restarts=3,
        max_rss_bytes=45_600_000,
        error=error,
    )


def report(*instances: InstanceReport) -> ConsumeReport:
    return ConsumeReport(
        instances=list(instances),
        totals=Counts(stored=2_468, duplicates=1, dead=2, parked=3),
        events=2_474,
        seconds=10.0,
        rate=113.0,
        restarts=6,
        latency_p50_ms=5.0,
        since_read_ms=2.0,
        step_ms={"fence": 0.5, "slow_path": 1.5},
        latency_p95_ms=6.0,
        latency_p99_ms=1_234.0,
    )


def shown(found: ConsumeReport) -> str:
    console = Console(width=160, file=StringIO())
    with console.capture() as capture:
        console.print(_table(found))
    return capture.get()


def test_the_table_shows_each_instance_and_its_last_error() -> None:
    text = shown(report(instance(0, "running"), instance(1, "waiting", "PostgreSQL is away")))
    [row] = [line for line in text.splitlines() if "running" in line]
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        *("0", "orders-0 orders-1", "running", "57", "1,234", "89", "3", "45.6 MB"),
    ]
    assert "instance 1: PostgreSQL is away" in text
    assert "113/s now" in text
    assert "p50/p95/p99 5/6/1,234 ms" in text
    assert "2.0 ms of it since they were read, on average; of a step: fence 0.5, slow path 1.5 ms" in text


def test_at_the_end_the_rate_is_that_of_the_whole_run() -> None:
    assert "247/s" in shown(report(instance(0, "stopped")))


def test_the_line_for_a_log_says_who_waits_and_why() -> None:
    text = _line(report(instance(0, "running"), instance(1, "stopped"), instance(2, "waiting", "PostgreSQL is away")))
    assert text.startswith("10 s: 2 of 3 instances, 113 events/s, stored 2,468, duplicates 1, dead letters 2, parked 3")
    assert text.endswith("restarts 6, 1 waiting: PostgreSQL is away")
