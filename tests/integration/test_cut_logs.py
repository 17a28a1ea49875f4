"""A log that was cut and has grown again is never taken for the one that was stored."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType

from sesacctl.broker import clients, topics
from sesacctl.errors import LogCut
from sesacctl.events import ORDERS
from sesacctl.pipeline.audit.report import audit
from sesacctl.pipeline.audit.until_empty import UntilEmpty
from sesacctl.pipeline.repair import reset_offsets
from sesacctl.pipeline.watch.health import health
from sesacctl.settings import Settings
from sesacctl.testing.loop import Part
from tests.conftest import Cli
from tests.helpers.consumers import running, store_all
from tests.helpers.cut_logs import cut
from tests.helpers.events import add_parents, many_orders, message, order, query, send
from tests.helpers.prefork import Prefork
from tests.helpers.servers import RunningStack, clean_environment
from tests.helpers.waiting import wait_until


@pytest.fixture
def shop(private_stack: RunningStack) -> Iterator[Part]:
    """Topics, users and a product on brokers that a test may kill."""
    with private_stack.slice() as part:
        topics.init(part.settings)
        add_parents(part.settings, users=100)
        yield part


@pytest.fixture
def cli(shop: Part, tmp_path: Path, prefork: Prefork) -> Cli:
    """The command line for them."""
    return Cli(tmp_path, clean_environment(**shop.environment, SESAC_HOME=str(tmp_path / ".sesac")), prefork)


def kept(settings: Settings, table: str) -> list[tuple[int, bool]]:
    """Offsets of kept records, and whether each is in a counter."""
    return query(settings, f'SELECT "offset", counted FROM {table} ORDER BY id')


def test_a_regrown_cut_log_stops_all_until_it_is_accepted(shop: Part, private_stack: RunningStack, cli: Cli) -> None:
    settings = shop.settings
    for _ in range(10):
        send(settings, ORDERS, many_orders(30), partition=0)
    store_all(settings)
    cut(private_stack, settings.topic(ORDERS), share=0.5)
    send(settings, ORDERS, many_orders(400), partition=0)

    before = cli("audit", "-o", "json")
    assert before.returncode == 5, before.stderr
    [found] = json.loads(before.stdout)["cuts"]
    lost = 300 - found["cut"]["diverged_at"]
    assert 0 < lost < 300
    assert "FAILED" in cli("audit").stdout
    assert "offsets accept-cut" in before.stderr
    health = json.loads(cli("health", "-o", "json").stdout)
    assert [check["verdict"] for check in health["checks"] if check["name"] == "audit"] == ["unhealthy"]
    for attempt in ("finds it", "finds the verdict"):
        done = cli("consume", "-n", 1, "--until-empty")
        assert done.returncode == 5, attempt
        assert "is not the one that was stored up to offset 300" in done.stderr, attempt
    assert cli("consume", "-n", 1, "--from", "latest", "--yes").returncode == 5, "that would skip what is new"

    dry = json.loads(cli("offsets", "accept-cut", "--dry-run", "-o", "json").stdout)["items"]
    assert [(move["before"], move["after"], move["given_up"]) for move in dry] == [(300, 300 - lost, 0)]
    assert cli("consume", "-n", 1, "--until-empty").returncode == 5, "a dry run accepts nothing"
    assert cli("offsets", "accept-cut", "--yes").returncode == 0
    assert cli("consume", "-n", 1, "--until-empty").returncode == 0
    assert query(settings, "SELECT count(*) FROM orders") == [(700,)]
    result = audit(settings, deep=True)
    assert (result.ok, result.missing, result.counts.stored, result.counts.duplicates) == (True, 0, 400, 0)
    assert "nothing to move" in cli("offsets", "accept-cut").stderr


def test_records_at_reused_positions_keep_the_old_ones(shop: Part, private_stack: RunningStack) -> None:
    settings = shop.settings
    send(settings, ORDERS, [(b"u1", b"{}"), message(order(1, user_id="u900"))], partition=0)
    store_all(settings)
    cut(private_stack, settings.topic(ORDERS), share=0.0)
    send(settings, ORDERS, [(b"u2", b"[]"), message(order(2, user_id="u901"))], partition=0)
    with pytest.raises(LogCut, match="is not the one that was stored up to offset 2"):
        UntilEmpty(settings)
    reset_offsets.move(settings, reset_offsets.plan_cuts(settings))
    store_all(settings)
    assert kept(settings, "dead_letters") == [(0, False), (0, True)]
    assert kept(settings, "parked_events") == [(1, False), (1, True)]
    result = audit(settings, deep=True)
    assert (result.ok, result.counts.dead, result.counts.parked) == (True, 1, 1)


@pytest.mark.usefixtures("private_stack")
def test_compacted_records_are_not_counted_as_control_records(shop: Part) -> None:
    settings = shop.settings
    topic = settings.topic(ORDERS)
    send(settings, ORDERS, many_orders(5, users=2), partition=0)
    store_all(settings)
    client = clients.admin(settings)
    compacting = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01"}
    client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, compacting)])
    for broker in ("1", "2", "3"):
        client.alter_configs([ConfigResource(ConfigResourceType.BROKER, broker, {"log.cleaner.backoff.ms": "200"})])
    client.close()
    for _ in range(5):
        send(settings, ORDERS, many_orders(100, users=2), partition=0)

    def is_compacted() -> bool:
        send(settings, ORDERS, many_orders(1), partition=0)  # the segment that is written to is never compacted
        return bool(holes(settings))

    wait_until(is_compacted, message="nothing is compacted")
    with pytest.raises(AssertionError, match=r"are not in PostgreSQL and not in Kafka: something has deleted"):
        store_all(settings)
    assert query(settings, "SELECT sum(control) FROM sink_offsets") == [(0,)]
    assert "cleanup.policy=compact" in health_evidence(settings)
    topics.init(settings)
    assert topics.unsafe(settings) == []
    with running(settings, accept_gap=True):
        wait_until(UntilEmpty(settings), message="the gap is accepted")
    [(stored, expired, control, taken)] = query(
        settings,
        "SELECT sum(stored), sum(expired), sum(control), sum(next_offset - first_offset) FROM sink_offsets",
    )
    assert (stored + expired, control) == (taken, 0)
    assert expired > 100


def holes(settings: Settings) -> int:
    """Offsets between the first and the last record of partition 0 at which there is none."""
    consumer = clients.consumer(settings, group_instance_id=None)
    try:
        tp = TopicPartition(settings.topic(ORDERS), 0)
        consumer.assign([tp])
        consumer.seek(tp, 0)
        [end] = (clients.log_ends(consumer, [tp]) or {}).values()
        offsets: list[int] = []
        while not offsets or offsets[-1] < end - 1:
            offsets += [record.offset for record in consumer.poll(timeout_ms=500).get(tp, [])]
        return end - len(offsets)
    finally:
        consumer.close()


def health_evidence(settings: Settings) -> str:
    return next(check.evidence for check in health(settings).checks if check.name == "Kafka")
