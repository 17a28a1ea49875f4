"""`sesacctl consume` with real processes, on real servers."""

from __future__ import annotations

import json
import os
import random
import signal
from typing import Any

import pytest

from sesacctl.broker.offsets import log_offsets
from sesacctl.events import ORDERS
from sesacctl.pipeline.audit.report import audit
from sesacctl.pipeline.repair import reset_offsets
from sesacctl.pipeline.supervise.supervisor import DRAIN_SECONDS
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import instances, stored
from tests.helpers.events import add_parents, many_orders, message, order, query, send
from tests.helpers.topics import make_topics
from tests.helpers.waiting import BUSY_SECONDS, wait_until


def test_nine_instances_share_partitions_and_store_all(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    add_parents(settings, users=100)
    send(settings, ORDERS, many_orders(2_000))
    done = sesacctl("consume", "--instances", 9, "--until-empty", "-o", "json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["totals"]["stored"] == 2_000
    assert 0 < report["latency_p50_ms"] <= report["latency_p95_ms"] <= report["latency_p99_ms"]
    assert 0 < sum(report["step_ms"].values()) <= report["since_read_ms"] <= report["latency_p99_ms"]
    orders = [sum("orders-" in name for name in line["partitions"]) for line in report["instances"]]
    assert orders == [1] * 9
    result = audit(settings)
    assert (result.ok, result.lag, result.rows["orders"]) == (True, 0, 2_000)


def test_malformed_messages_among_good_ones_stop_nothing(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    add_parents(settings, users=100)
    good, bad = many_orders(10_000), [(b"u1", b'{"broken": %d' % n) for n in range(100)]
    mixed: list[Any] = [*good, *bad]
    random.Random(7).shuffle(mixed)
    send(settings, ORDERS, mixed)
    done = sesacctl("consume", "-n", 2, "--until-empty", "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["totals"]["dead"] == 100
    assert query(settings, "SELECT count(*) FROM orders") == [(10_000,)]
    assert {bytes(value) for (value,) in query(settings, "SELECT value FROM dead_letters")} == {
        value for _, value in bad
    }
    assert audit(settings).missing == 0


def test_an_instance_killed_under_load_restarts_without_loss(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    add_parents(settings, users=100)
    process = sesacctl.start("consume", "--instances", 9)
    send(settings, ORDERS, many_orders(2_000))
    wait_until(lambda: stored(settings) > 0, message="the first events are stored")
    before = instances(process.pid)
    assert len(before) == 9
    victim = random.Random(3).choice(before)
    send(settings, ORDERS, many_orders(4_000))
    os.kill(victim, signal.SIGKILL)
    send(settings, ORDERS, many_orders(4_000))
    wait_until(lambda: stored(settings) >= 10_000, message="everything is stored")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=DRAIN_SECONDS + BUSY_SECONDS)
    assert process.returncode == 0, errors
    assert "starting it again" in errors
    result = audit(settings)
    assert (result.ok, result.missing, result.duplicated, result.lag) == (True, 0, 0, 0)
    assert result.rows["orders"] == 10_000


def test_max_messages_is_exact_over_all_instances(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    add_parents(settings, users=100)
    send(settings, ORDERS, many_orders(1_000))
    done = sesacctl("consume", "-n", 3, "--max-messages", 700, "-o", "json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["events"] == 700
    assert query(settings, "SELECT count(*) FROM orders") == [(700,)]
    assert audit(settings).lag == 300


def test_offsets_are_committed_to_kafka_for_lag_tools(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    add_parents(settings)
    send(settings, ORDERS, many_orders(10, users=1), partition=4)
    assert sesacctl("consume", "-n", 1, "--until-empty").returncode == 0
    [found] = [log for log in log_offsets(settings) if log.topic.endswith(ORDERS) and log.partition == 4]
    assert (found.end, found.committed) == (10, 10)


def test_ctrl_c_ends_the_question_and_moves_nothing(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    send(settings, ORDERS, many_orders(3), partition=0)
    keyboard, terminal = os.openpty()
    sesacctl.stdin = terminal
    process = sesacctl.start("consume", "-n", 1, "--from", "earliest")
    assert process.stderr is not None
    seen = ""
    while "Move the offsets" not in seen:
        seen += process.stderr.read(1)
        assert process.poll() is None, seen
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    os.close(keyboard)
    os.close(terminal)
    assert process.returncode == 2
    assert query(settings, "SELECT count(*) FROM sink_offsets") == [(0,)]


def test_a_schema_that_is_not_at_head_exits_6(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    query(settings, "DROP TABLE sesacctl_version")
    done = sesacctl("consume", "-n", 1)
    assert done.returncode == 6
    assert "sesacctl db init" in done.stderr


@pytest.mark.usefixtures("settings")
def test_a_missing_topic_exits_5_and_names_the_remedy(sesacctl: Cli) -> None:
    done = sesacctl("consume", "-n", 1)
    assert done.returncode == 5
    assert "sesacctl topics init" in done.stderr


def test_a_table_dropped_under_it_stops_with_exit_6(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    add_parents(settings, users=100)
    process = sesacctl.start("consume", "-n", 1)
    send(settings, ORDERS, many_orders(5))
    wait_until(lambda: stored(settings) == 5, message="it runs")
    query(settings, "DROP TABLE orders")
    send(settings, ORDERS, many_orders(5))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 6, errors
    assert "orders" in errors
    assert query(settings, "SELECT sum(next_offset), sum(stored), sum(dead) FROM sink_offsets") == [(5, 5, 0)]


def test_a_group_honours_its_start_and_parking_time(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    add_parents(settings)
    send(settings, ORDERS, [*many_orders(10, users=1), message(order(1, user_id="u900"))], partition=0)
    arguments = ("consume", "-n", 1, "--until-empty", "--park-for", "1s", "--yes", "-o", "json")
    done = sesacctl(*arguments, "--group", "second", "--from", 4)
    assert done.returncode == 0, done.stderr
    totals = json.loads(done.stdout)["totals"]
    assert (totals["stored"], totals["dead"], totals["parked"]) == (6, 1, 0)
    assert query(settings, "SELECT DISTINCT consumer_group FROM sink_offsets") == [("second",)]
    done = sesacctl(*arguments, "--from", "2020-01-01T00:00")
    assert json.loads(done.stdout)["totals"]["duplicates"] == 6, done.stderr
    third = settings.model_copy(update={"kafka_group": "third"})
    reset_offsets.move(third, reset_offsets.plan(third, (ORDERS,), "latest"))
    assert (audit(third).lag, audit(third).taken) == (0, 0)
