"""Consumers that are killed, stopped, fenced, or have the ground moved under them: nothing is lost, nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import psycopg2
import pytest
from kafka import KafkaAdminClient, TopicPartition

from sesacctl.broker import topics
from sesacctl.database.connections import connect
from sesacctl.events import ORDERS
from sesacctl.pipeline.audit import audit
from sesacctl.pipeline.members import ConsumeReport
from sesacctl.pipeline.progress import UntilEmpty
from sesacctl.pipeline.sink import Sink
from sesacctl.pipeline.supervise import DRAIN_SECONDS, Supervisor
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.consumers import check, instances, stored
from tests.events import add_parents, batch, many_orders, query, send
from tests.waiting import wait_until

CHECKPOINTS = (
    "after poll",
    "after copy of orders",
    "before commit",
    "after commit",
    "before offset commit",
    "after offset commit",
)


@pytest.fixture
def ready(settings: Settings) -> Settings:
    """Topics, users and a product."""
    topics.init(settings)
    add_parents(settings, users=100)
    return settings


@pytest.mark.parametrize("label", CHECKPOINTS)
def test_an_instance_killed_at_any_point_of_a_step_loses_nothing(ready: Settings, label: str) -> None:
    send(ready, ORDERS, many_orders(600))
    empty = UntilEmpty(ready)
    reports: list[ConsumeReport] = []
    supervisor = Supervisor(
        ready, instances=1, crash_at=label, done=lambda: bool(reports) and reports[-1].restarts == 1 and empty()
    )
    supervisor.run(threading.Event(), on_report=reports.append, interval=0.2)
    check(ready, 600)


@pytest.mark.parametrize("label", ["before commit", "after commit"])
def test_a_maximum_is_exact_although_an_instance_dies_with_its_grant(ready: Settings, label: str) -> None:
    send(ready, ORDERS, many_orders(300), partition=0)
    stop = threading.Event()
    giving_up = threading.Timer(40, stop.set)
    giving_up.start()
    report = Supervisor(ready, instances=2, crash_at=label, max_messages=200).run(stop)
    giving_up.cancel()
    assert (stop.is_set(), report.restarts) == (False, 1)
    assert query(ready, "SELECT count(*) FROM orders") == [(200,)]


@contextmanager
def admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    client = KafkaAdminClient(bootstrap_servers=settings.brokers)
    try:
        yield client
    finally:
        client.close()


def finish(process: subprocess.Popen[str]) -> str:
    """Ask a supervisor to drain; its log."""
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=25)
    assert process.returncode == 0, errors
    return errors


def test_a_killed_supervisor_takes_its_instances_with_it(ready: Settings, sesacctl: Cli) -> None:
    process = sesacctl.start("consume", "-n", 2)
    send(ready, ORDERS, many_orders(300))
    wait_until(lambda: stored(ready) == 300, message="the first orders are stored")
    pids = instances(process.pid)
    process.kill()
    wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids), timeout=20, message="the instances are gone")
    send(ready, ORDERS, many_orders(300))
    assert sesacctl("consume", "-n", 2, "--until-empty").returncode == 0
    check(ready, 600)


def interrupt(process: subprocess.Popen[str]) -> bool:
    """Press Ctrl-C; whether it has ended."""
    process.send_signal(signal.SIGINT)
    return process.poll() is not None


def test_a_second_signal_ends_it_at_once(ready: Settings, sesacctl: Cli) -> None:
    process = sesacctl.start("consume", "-n", 1)
    send(ready, ORDERS, many_orders(10))
    wait_until(lambda: stored(ready) == 10, message="it runs")
    [pid] = instances(process.pid)
    os.kill(pid, signal.SIGSTOP)
    try:
        started = time.monotonic()
        # Two that come before the first was looked at are one signal.
        wait_until(lambda: interrupt(process), timeout=10)
        assert process.returncode == 130
        assert time.monotonic() - started < DRAIN_SECONDS
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    check(ready, 10)


def test_a_topic_deleted_and_created_again_is_read_from_its_start(ready: Settings, sesacctl: Cli) -> None:
    process = sesacctl.start("consume", "-n", 2)
    send(ready, ORDERS, many_orders(500))
    wait_until(lambda: stored(ready) == 500, message="the first topic is stored")
    with admin(ready) as client:
        client.delete_topics([ready.topic(ORDERS)])
        wait_until(lambda: ready.topic(ORDERS) not in client.list_topics(), message="the topic is gone")
    topics.init(ready)
    send(ready, ORDERS, many_orders(900))
    wait_until(lambda: stored(ready) == 1_400, timeout=60, message="the second topic is stored from its first record")
    finish(process)
    assert query(ready, "SELECT count(*) FROM orders") == [(1_400,)]
    assert audit(ready).missing == 0


def test_expired_records_stop_it_with_the_gap_named_and_can_be_accepted(ready: Settings, sesacctl: Cli) -> None:
    send(ready, ORDERS, many_orders(20), partition=0)
    assert sesacctl("consume", "-n", 1, "--until-empty").returncode == 0
    send(ready, ORDERS, many_orders(30), partition=0)
    with admin(ready) as client:
        client.delete_records({TopicPartition(ready.topic(ORDERS), 0): 45})
    done = sesacctl("consume", "-n", 1, "--until-empty")
    assert done.returncode == 5, done.stderr
    assert "offsets 20 to 44 have expired" in done.stderr
    assert "--accept-gap" in done.stderr
    assert stored(ready) == 20
    assert sesacctl("consume", "-n", 1, "--until-empty", "--accept-gap").returncode == 0
    result = audit(ready)
    assert (result.counts.stored, result.counts.expired, result.missing, result.lag) == (25, 25, 0, 0)


def test_a_database_restored_to_an_earlier_state_is_filled_again_from_kafka(ready: Settings, sesacctl: Cli) -> None:
    process = sesacctl.start("consume", "-n", 2)
    send(ready, ORDERS, many_orders(200))
    wait_until(lambda: stored(ready) == 200, message="the first half is stored")
    query(ready, "CREATE TABLE saved_offsets AS TABLE sink_offsets; CREATE TABLE saved_orders AS TABLE orders")
    send(ready, ORDERS, many_orders(200))
    wait_until(lambda: stored(ready) == 400, message="the second half is stored")
    query(
        ready,
        "LOCK sink_offsets; DELETE FROM orders; INSERT INTO orders TABLE saved_orders;"
        " DELETE FROM sink_offsets; INSERT INTO sink_offsets TABLE saved_offsets",
    )
    wait_until(lambda: stored(ready) == 400, timeout=40, message="the gap is consumed again")
    assert "reading from there" in finish(process)
    check(ready, 400)


def test_an_instance_stopped_past_its_session_is_fenced_and_joins_again(ready: Settings, sesacctl: Cli) -> None:
    process = sesacctl.start("consume", "-n", 2)
    send(ready, ORDERS, many_orders(200))
    wait_until(lambda: stored(ready) == 200, message="both run")
    victim = instances(process.pid)[0]
    os.kill(victim, signal.SIGSTOP)
    try:
        send(ready, ORDERS, many_orders(400))
        wait_until(lambda: stored(ready) == 600, timeout=60, message="the other one takes its partitions over")
    finally:
        os.kill(victim, signal.SIGCONT)
    send(ready, ORDERS, many_orders(400))
    wait_until(lambda: stored(ready) == 1_000, timeout=60, message="everything is stored")
    finish(process)
    check(ready, 1_000)


def test_two_supervisors_on_one_machine_share_the_partitions(ready: Settings, sesacctl: Cli) -> None:
    first, second = sesacctl.start("consume", "-n", 2), sesacctl.start("consume", "-n", 2)
    send(ready, ORDERS, many_orders(1_000))
    wait_until(lambda: stored(ready) == 1_000, timeout=60, message="everything is stored")
    finish(first)
    send(ready, ORDERS, many_orders(500))
    wait_until(lambda: stored(ready) == 1_500, timeout=60, message="the second goes on alone")
    finish(second)
    check(ready, 1_500)


def test_a_connection_cut_at_commit_leaves_one_copy(settings: Settings) -> None:
    add_parents(settings, users=100)
    connection = connect(settings, command="test")
    pid = connection.info.backend_pid

    def cut(label: str) -> None:
        if label == "before commit":
            query(settings, "SELECT pg_terminate_backend(%s, 5000)", pid)

    sink = Sink(connection, group="g", checkpoint=cut)
    found = batch(many_orders(50))
    sink.begin_partition(ORDERS, found.key, 0)
    with pytest.raises(psycopg2.Error):
        sink.store([found])
    connection.close()
    connection = connect(settings, command="test")
    again = Sink(connection, group="g")
    assert again.positions([found.key]) == {found.key: 0}
    again.store([found])
    connection.close()
    assert query(settings, "SELECT count(*) FROM orders") == [(50,)]
