"""Producers, consumers and `health` while brokers die and hang, on a stack of their own. Longer ones: tests/faults."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sesacctl.broker import Sender, bootstrap, topics
from sesacctl.errors import ServerUnreachable
from sesacctl.events import ORDERS, User, UserEvent
from sesacctl.pipeline.produce.ledger import read_ledger
from sesacctl.pipeline.watch.checks import Check, Verdict
from sesacctl.pipeline.watch.health import health, wait_healthy
from sesacctl.settings import Settings
from sesacctl.stack.kafka import BROKERS
from sesacctl.testing.loop import Part
from tests.conftest import Cli
from tests.helpers.consumers import check, consuming, stored
from tests.helpers.events import add_parents, many_orders, send
from tests.helpers.servers import RunningStack, clean_environment
from tests.helpers.shop import check_ledger, fill_cache, producing, row_ids
from tests.helpers.waiting import wait_until, within

BROKER_NAMES = [f"kafka-{number}" for number in BROKERS]


@contextmanager
def shop(stack: RunningStack) -> Iterator[Part]:
    """A part of it with topics and a full cache."""
    with stack.slice() as part:
        topics.init(part.settings)
        fill_cache(part.settings)
        yield part


@contextmanager
def hanging(stack: RunningStack, *brokers: str) -> Iterator[None]:
    """They keep their connections and say nothing."""
    try:
        for broker in brokers:
            stack.kill(broker, signal.SIGSTOP)
        yield
    finally:
        for broker in brokers:
            stack.kill(broker, signal.SIGCONT)


def test_a_broker_restart_loses_and_doubles_nothing(private_stack: RunningStack, tmp_path: Path) -> None:
    ledger = tmp_path / "l.jsonl"
    with shop(private_stack) as part:
        with producing(part.settings, rate=800, new_users_per_second=20.0, ledger=ledger) as running:
            running.more(500)
            private_stack.kill("kafka-2")
            running.more(1500)  # leaders have moved, and what had to wait is in
            environment = {**part.environment, "KAFKA_TOPIC_PREFIX": f"{part.settings.kafka_topic_prefix}two-"}
            cli = Cli(tmp_path, clean_environment(**environment, SESAC_HOME=str(tmp_path / ".sesac")))
            made = cli("topics", "init")
            assert (made.returncode, "replicas=2" in made.stdout) == (0, True)
            assert "warning: only 2 broker(s): replication factor 2, not 3" in made.stderr
            assert all(topic.under_replicated for topic in topics.describe(part.settings))
            private_stack.up()
            running.more(500)
            report = running.end()
        assert (report.failed, report.in_flight) == (0, 0)
        acknowledged, found, sent = check_ledger(part.settings, ledger)
        assert acknowledged == found == sent
        assert len(sent) == report.sent > 2500


def test_no_false_acknowledgement_with_two_brokers_hanging(private_stack: RunningStack, tmp_path: Path) -> None:
    """Flat out, so that what is in flight reaches its bound."""
    ledger = tmp_path / "l.jsonl"
    with shop(private_stack) as part:
        with producing(part.settings, ledger=ledger) as running:
            running.more(1000)
            with hanging(private_stack, *BROKER_NAMES[1:]):
                wait_until(lambda: running.now().waiting_for == "Kafka")
                before, reports = running.now(), len(running.reports)
                wait_until(lambda: len(running.reports) > reports + 3)
                assert running.now().acknowledged == before.acknowledged
                assert running.now().orders == before.orders
            running.more(2000, timeout=60)
            assert running.now().waiting_for is None
            report = running.end()
        assert (report.failed, report.in_flight) == (0, 0)
        acknowledged, found, sent = check_ledger(part.settings, ledger)
        assert acknowledged == found == sent


def test_delivery_timeout_ends_a_run_without_brokers(
    private_stack: RunningStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sesacctl.pipeline.produce.producer.STOP_SECONDS", 1.0)
    monkeypatch.setattr("sesacctl.broker.sender._CLOSE_SECONDS", 1.0)
    ledger = tmp_path / "l.jsonl"
    with shop(private_stack) as part:
        sender = Sender(part.settings, delivery_seconds=1.0, max_in_flight_bytes=1)
        with producing(part.settings, rate=200, seconds=3.0, delivery_seconds=2.0, ledger=ledger) as running:
            running.more(100)
            with hanging(private_stack, *BROKER_NAMES):
                sender._producer._transaction_manager.reset_producer_id()  # as when a batch expires that was sent
                user = UserEvent(timestamp=datetime.now(UTC), user=User(user_id="U_1", name="홍길동"))
                sender.publish(user)
                with pytest.raises(ServerUnreachable):
                    ThreadPoolExecutor(1).submit(sender.publish, user).result(30)
                report = running.finish()
                sender.close()
        assert (report.in_flight, report.waiting_for) == (0, None)
        assert report.failed == report.sent - report.acknowledged > 0
        assert (sender.sent, sender.failed, sender.in_flight) == (1, 1, 0)
        assert report.first_failure
        with producing(part.settings, count=100) as running:
            assert running.finish().acknowledged == 100
        everything = row_ids(part.settings)
        assert len(everything) == len(set(everything))
        assert {entry.id for entry in read_ledger(ledger) if entry.acknowledged} <= set(everything)


def test_commands_avoid_a_hanging_broker_that_is_still_listed(private_stack: RunningStack) -> None:
    with private_stack.slice() as part:
        topics.init(part.settings)
        for broker in BROKER_NAMES:
            with hanging(private_stack, broker):
                for _ in range(5):
                    topics.require(part.settings)
            wait_until(lambda: not bootstrap.reachable(part.settings, seconds=1.0).silent)


def test_second_signal_ends_a_producer_waiting_for_brokers(private_stack: RunningStack, tmp_path: Path) -> None:
    with shop(private_stack) as part:
        cli = Cli(tmp_path, clean_environment(**part.environment, SESAC_HOME=str(tmp_path / ".sesac")))
        process = cli.start("produce", "--rate", 200, "--ledger", "l.jsonl")
        ledger = tmp_path / "l.jsonl"
        wait_until(lambda: ledger.exists() and b"acked" in ledger.read_bytes())
        with hanging(private_stack, *BROKER_NAMES):
            size = ledger.stat().st_size
            wait_until(lambda: ledger.stat().st_size > size)
            process.send_signal(signal.SIGTERM)
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1.0)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 130
        cli.close()
        check_ledger(part.settings, ledger)


def test_consumers_continue_without_one_broker_of_three(private_stack: RunningStack) -> None:
    with private_stack.slice() as part:
        topics.init(part.settings)
        add_parents(part.settings, users=100)
        with consuming(part.settings):
            send(part.settings, ORDERS, many_orders(500))
            wait_until(lambda: stored(part.settings) == 500, message="the first are not stored")
            private_stack.kill("kafka-3")
            send(part.settings, ORDERS, many_orders(500))
            wait_until(lambda: stored(part.settings) == 1_000, message="the others are not stored")
        check(part.settings, 1_000)


def checks(settings: Settings) -> dict[str, Check]:
    """What `health` finds, in time."""
    with within(10):
        return {each.name: each for each in health(settings).checks}


def test_health_names_brokers_that_hang(private_stack: RunningStack) -> None:
    with private_stack.slice() as part:
        topics.init(part.settings)
        address = part.settings.brokers[1]
        with hanging(private_stack, "kafka-2"):
            assert address in checks(part.settings)["Kafka"].evidence
            wait_until(lambda: checks(part.settings)["Kafka"].verdict is Verdict.UNHEALTHY)
            evidence = checks(part.settings)["Kafka"].evidence
            assert evidence.startswith(f"2 of 3 brokers, no answer from {address}")
            with hanging(private_stack, "kafka-1", "kafka-3"):
                found = checks(part.settings)
                assert [name for name, each in found.items() if each.verdict is Verdict.DOWN] == ["Kafka"]
                assert address in found["Kafka"].evidence
        assert wait_healthy(part.settings, seconds=60, only_servers=True).healthy
