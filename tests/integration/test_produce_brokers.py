"""Producers while brokers die and hang, on a stack of the module's own. Longer ones are in tests/faults."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from sesacctl.broker import topics
from sesacctl.pipeline.ledger import read_ledger
from sesacctl.stack.kafka import BROKERS
from tests.conftest import Cli
from tests.servers import RunningStack, clean_environment
from tests.shop import fill_cache, producing, row_ids
from tests.waiting import wait_until


def test_one_broker_of_three_killed_in_mid_load_fails_and_doubles_nothing(
    private_stack: RunningStack, tmp_path: Path
) -> None:
    ledger = tmp_path / "l.jsonl"
    with private_stack.slice() as part:
        topics.init(part.settings)
        fill_cache(part.settings)
        with producing(part.settings, rate=1500, new_users_per_second=20.0, ledger=ledger) as running:
            running.more(1500)
            private_stack.kill("kafka-2")
            running.more(3000)  # leaders have moved, and what had to wait is in
            report = running.end()
        assert (report.failed, report.in_flight) == (0, 0)
        assert report.acknowledged == report.sent > 4500
        for kind in ("orders", "users"):
            acknowledged = [entry.id for entry in read_ledger(ledger) if entry.kind == kind and entry.acknowledged]
            assert sorted(row_ids(part.settings, kind)) == sorted(acknowledged)


def test_a_second_signal_ends_a_producer_that_waits_for_hanging_brokers(
    private_stack: RunningStack, tmp_path: Path
) -> None:
    brokers = [f"kafka-{number}" for number in BROKERS]
    with private_stack.slice() as part:
        topics.init(part.settings)
        fill_cache(part.settings)
        cli = Cli(tmp_path, clean_environment(**part.environment, SESAC_HOME=str(tmp_path / ".sesac")))
        process = cli.start("produce", "--rate", 200, "--ledger", "l.jsonl")
        ledger = tmp_path / "l.jsonl"
        wait_until(lambda: ledger.exists() and b"acked" in ledger.read_bytes(), 30)
        try:
            for broker in brokers:
                private_stack.kill(broker, signal.SIGSTOP)
            size = ledger.stat().st_size
            wait_until(lambda: ledger.stat().st_size > size, 10)
            process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1.0)
            process.send_signal(signal.SIGTERM)
            assert process.wait(5.0) == 130
        finally:
            for broker in brokers:
                private_stack.kill(broker, signal.SIGCONT)
            cli.close()
        sent = {entry.id for entry in read_ledger(ledger) if not entry.acknowledged}
        acknowledged = {entry.id for entry in read_ledger(ledger) if entry.acknowledged}
        in_kafka = row_ids(part.settings) + row_ids(part.settings, "users") + row_ids(part.settings, "products")
        assert acknowledged <= set(in_kafka) <= sent
        assert len(in_kafka) == len(set(in_kafka))
