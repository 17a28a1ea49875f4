"""Producers through what takes longer: brokers killed again and again, two of three away, memory over many orders."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from random import Random

import psutil
import pytest

from sesacctl.broker import topics
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.servers import RunningStack, clean_environment
from tests.helpers.shop import check_ledger, fill_cache, producing
from tests.helpers.waiting import wait_until

DELIVERY_SECONDS = 12.0


@pytest.fixture
def ready(private_stack: RunningStack) -> Iterator[Settings]:
    """Topics and a full cache on a stack that may be hurt."""
    with private_stack.slice() as part:
        topics.init(part.settings)
        fill_cache(part.settings)
        yield part.settings


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_brokers_killed_repeatedly_lose_and_double_nothing(
    ready: Settings, private_stack: RunningStack, tmp_path: Path, seed: int
) -> None:
    random, ledger = Random(seed), tmp_path / "l.jsonl"
    with producing(ready, rate=random.choice([0, 800, 3000]), new_users_per_second=50.0, ledger=ledger) as running:
        for _ in range(3):
            running.more(random.randint(100, 3000))
            private_stack.kill(random.choice(["kafka-1", "kafka-2", "kafka-3"]))
            running.more(random.randint(1, 2000), timeout=60)
            private_stack.up()
        report = running.end()
    assert (report.failed, report.in_flight) == (0, 0)
    acknowledged, found, sent = check_ledger(ready, ledger)
    assert acknowledged == found == sent


def test_a_hanging_broker_is_given_up_and_nothing_is_doubled(
    ready: Settings, private_stack: RunningStack, tmp_path: Path
) -> None:
    ledger = tmp_path / "l.jsonl"
    with producing(ready, rate=500, ledger=ledger) as running:
        running.more(500)
        private_stack.kill("kafka-3", signal.SIGSTOP)
        try:
            running.more(5000, timeout=60)
            wait_until(lambda: running.now().in_flight < 500, 60, "the hanging broker's share is not sent again")
        finally:
            private_stack.kill("kafka-3", signal.SIGCONT)
        running.more(500)
        report = running.end()
    assert (report.failed, report.in_flight) == (0, 0)
    acknowledged, found, sent = check_ledger(ready, ledger)
    assert acknowledged == found == sent


def test_no_false_acknowledgement_with_two_brokers_down(
    ready: Settings, private_stack: RunningStack, tmp_path: Path
) -> None:
    """Flat out, so that what is in flight reaches its bound."""
    ledger, process = tmp_path / "l.jsonl", psutil.Process()
    with producing(ready, ledger=ledger) as running:
        running.more(2000)
        private_stack.kill("kafka-1")
        private_stack.kill("kafka-2")
        wait_until(lambda: running.now().waiting_for == "Kafka", 40)
        acknowledged, orders, memory = running.now().acknowledged, running.now().orders, process.memory_info().rss
        reports = len(running.reports)
        wait_until(lambda: len(running.reports) > reports + 50, 30)  # five seconds
        assert running.now().acknowledged == acknowledged
        assert running.now().orders <= orders + 1000
        assert process.memory_info().rss <= memory * 1.05
        private_stack.up()
        running.more(20_000, timeout=90)
        assert running.now().waiting_for is None
        report = running.end()
    assert (report.failed, report.in_flight) == (0, 0)
    acknowledged_ids, found, sent = check_ledger(ready, ledger)
    assert acknowledged_ids == found == sent


@pytest.mark.parametrize(
    ("how", "rate"),
    [(signal.SIGKILL, 100), (signal.SIGSTOP, 100), (signal.SIGSTOP, 0)],
    ids=["killed", "hanging", "hanging, flat out"],
)
def test_the_delivery_timeout_is_honoured(
    ready: Settings, private_stack: RunningStack, tmp_path: Path, how: signal.Signals, rate: float
) -> None:
    ledger = tmp_path / "l.jsonl"
    with producing(ready, rate=rate, ledger=ledger, delivery_seconds=DELIVERY_SECONDS) as running:
        running.more(200)
        for broker in ("kafka-2", "kafka-3"):
            private_stack.kill(broker, how)
        wait_until(lambda: running.now().waiting_for == "Kafka", 40)
        silent_since = running.now().seconds - 5
        wait_until(lambda: running.now().failed, 60)
        assert DELIVERY_SECONDS - 1 <= running.now().seconds - silent_since <= DELIVERY_SECONDS + 12
        if how is signal.SIGSTOP:
            for broker in ("kafka-2", "kafka-3"):
                private_stack.kill(broker, signal.SIGCONT)
        private_stack.up()
        running.more(500, timeout=60)
        wait_until(lambda: running.now().waiting_for is None, 30)
        report = running.end()
    assert report.in_flight == 0
    assert report.failed > 0
    assert report.first_failure is not None
    acknowledged, found, sent = check_ledger(ready, ledger)
    assert len(acknowledged) == report.acknowledged
    assert len(sent) == report.sent
    assert len(found - acknowledged) <= report.failed


def test_a_producer_killed_in_mid_load_leaves_a_true_ledger(ready: Settings, tmp_path: Path) -> None:
    environment = {name.upper(): str(value) for name, value in ready.model_dump(mode="json", exclude_none=True).items()}
    cli = Cli(tmp_path, clean_environment(**environment | {"SESAC_HOME": str(tmp_path / ".sesac")}))
    ledger = tmp_path / "l.jsonl"
    for least in (1000, 5000):
        process = cli.start("produce", "--ledger", ledger)
        wait_until(lambda least=least: ledger.exists() and ledger.read_bytes().count(b"acked") > least, 30)  # type: ignore[misc]
        process.kill()
        process.communicate()
    acknowledged, _, sent = check_ledger(ready, ledger)
    assert 5000 < len(acknowledged) < len(sent)


def test_memory_stays_flat(ready: Settings) -> None:
    process, sizes = psutil.Process(), []
    with producing(ready, count=300_000, new_users_per_second=50.0) as running:
        for target in range(60_000, 300_000, 20_000):
            wait_until(lambda target=target: running.now().orders >= target, 120)  # type: ignore[misc]
            sizes.append(process.memory_info().rss)
        running.finish()
    assert max(sizes[6:]) <= max(sizes[:6]) * 1.05
