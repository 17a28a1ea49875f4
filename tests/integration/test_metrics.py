"""What Prometheus gets from real servers: ages, owners, histograms over processes that die, and servers that hang."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sesacctl.broker import topics
from sesacctl.events import ORDERS, USERS
from sesacctl.pipeline.watch.exporter import Family
from sesacctl.pipeline.watch.metric_families import of_consume
from sesacctl.pipeline.watch.observation import LIMIT_SECONDS
from sesacctl.pipeline.watch.scraper import Scraper
from sesacctl.settings import Settings
from tests.helpers.consumers import has_stored
from tests.helpers.events import add_parents, many_orders, message, order, send
from tests.helpers.hosts import Host, hosts
from tests.helpers.listeners import listener
from tests.helpers.waiting import BUSY_SECONDS, wait_until

OLD_SECONDS = 100
ALL_PARTITIONS = 15


def figures(families: list[Family]) -> dict[tuple[str, ...], float]:
    """Each value by the metric's name and the values of its labels; of a histogram the number of observations."""
    found = {(family.name, *labels): value for family in families for labels, value in family.values}
    return found | {
        (family.name, *labels): sum(observed.counts) for family in families for labels, observed in family.distributions
    }


def consumed(host: Host) -> dict[tuple[str, ...], float]:
    return figures(of_consume(host.everything()))


def agreed(settings: Settings, host: Host) -> dict[tuple[str, ...], float]:
    """A scrape in which the broker and the instances name the same owners of all partitions."""
    seen: dict[tuple[str, ...], float] = {}

    def same_owners() -> bool:
        seen.clear()
        seen.update(figures(Scraper(settings).collect()))
        owners = {key[2:5] for key in seen if key[0] == "sesacctl_partition_owner"}
        reported = {
            (*name.rsplit("-", 1), line.member) for line in host.reports[-1].instances for name in line.partitions
        }
        return len(owners) == ALL_PARTITIONS and owners == reported

    wait_until(same_owners, message="broker and instances name the same owners")
    return seen


def test_a_killed_instance_lets_no_counter_fall(settings: Settings, tmp_path: Path) -> None:
    topics.init(settings)
    add_parents(settings, users=100)
    orders = settings.topic(ORDERS)
    stored, group = ("sesacctl_consume_events_total", orders, "stored"), settings.kafka_group
    with hosts(settings, tmp_path / "home") as [host]:
        send(settings, ORDERS, [*many_orders(300), message(order(1, user_id="u900")), (b"u1", b"no event")])
        wait_until(lambda: consumed(host).get(stored) == 300, message="all are counted")
        before = consumed(host)
        pid = host.reports[-1].instances[0].pid
        assert pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: host.has_restarted(1), message="it is started again")
        after = consumed(host)
        assert {key for key, value in before.items() if "_total" in key[0] and after[key] < value} == set()
        send(settings, ORDERS, many_orders(200))
        wait_until(lambda: consumed(host).get(stored) == 500, message="it goes on from there")
        found = consumed(host)
        assert found["sesacctl_record_to_commit_seconds",] == 502
        assert found["sesacctl_consume_events_total", orders, "parked"] == 1
        assert found["sesacctl_consume_dead_letters_total", orders, "invalid_json"] == 1
        assert found["sesacctl_step_seconds", "fence"] >= found["sesacctl_step_seconds", "commit"] > 0
        assert found["sesacctl_step_seconds", "slow_path"] == found["sesacctl_consume_slow_path_total",] > 0
        assert found["sesacctl_consume_rebalances_total",] >= 3
        seen = agreed(settings, host)
        assert seen["kafka_consumergroup_group_max_lag_seconds", group] == 0
        assert seen["sesacctl_parked_events", group, orders] == 1
        assert seen["sesacctl_oldest_parked_event_seconds", group] > 0
        assert seen["sesacctl_dead_letters_by_reason", group, orders, "invalid_json"] == 1
        assert seen["kafka_topic_partition_in_sync_replica", orders, "0"] == 3
        assert has_stored(settings, 500)


def test_the_age_of_a_lag_is_that_of_its_first_record(settings: Settings) -> None:
    topics.init(settings)
    at = int((time.time() - OLD_SECONDS) * 1000)
    send(settings, USERS, [(b"u1", b"old")], timestamp_ms=at)
    send(settings, USERS, [(b"u1", b"new")])
    seen = figures(Scraper(settings).collect())
    ages = {key[2:]: value for key, value in seen.items() if key[0] == "sesacctl_lag_seconds"}
    assert len(ages) == ALL_PARTITIONS
    assert sorted(ages.values())[:-1] == [0.0] * (ALL_PARTITIONS - 1)
    oldest = seen["kafka_consumergroup_group_max_lag_seconds", settings.kafka_group]
    assert oldest == max(ages.values())
    assert OLD_SECONDS <= oldest < OLD_SECONDS + BUSY_SECONDS


@pytest.mark.parametrize("server", ["PostgreSQL", "Redis", "Kafka"])
def test_a_hanging_server_does_not_take_the_scrape_down(settings: Settings, server: str) -> None:
    topics.init(settings)
    with listener() as silent:
        everything: dict[str, dict[str, Any]] = {
            "PostgreSQL": {"postgres_host": "127.0.0.1", "postgres_port": silent.port},
            "Redis": {"redis_host": "127.0.0.1", "redis_port": silent.port},
            "Kafka": {"kafka_bootstrap_servers": f"127.0.0.1:{silent.port}"},
        }
        away = everything[server]
        began = time.monotonic()
        seen = figures(Scraper(settings.model_copy(update=away)).collect())
        assert time.monotonic() - began < LIMIT_SECONDS + BUSY_SECONDS
    others = {"PostgreSQL", "Redis", "Kafka"} - {server}
    assert seen["sesacctl_up", server.lower()] == 0
    assert [seen["sesacctl_up", other.lower()] for other in others] == [1, 1]
    assert seen["sesacctl_scrape_errors_total", server.lower()] == 1
    assert seen["sesacctl_scrape_seconds", server.lower()] >= 1
    assert any(key[0] == "sesacctl_rows" for key in seen) is (server != "PostgreSQL")
    assert any(key[0] == "kafka_topic_partition_leader" for key in seen) is (server != "Kafka")
    assert threading.active_count() < 50
