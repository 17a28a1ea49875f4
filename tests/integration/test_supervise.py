"""The supervisor: what it does about instances that die or stand still, and how it ends."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import suppress

import psutil
import pytest
from kafka import KafkaAdminClient

from sesacctl import settings as settings_module
from sesacctl.broker.groups import leave_group
from sesacctl.broker.offsets import log_offsets
from sesacctl.errors import CannotKeepAlive
from sesacctl.events import ORDERS
from sesacctl.pipeline.supervise import prerequisites
from sesacctl.pipeline.supervise import supervisor as supervise
from sesacctl.pipeline.supervise.member import ConsumeReport
from sesacctl.pipeline.supervise.supervisor import Supervisor
from sesacctl.settings import Settings
from tests.helpers.consumers import check, consuming, stored
from tests.helpers.events import add_parents, many_orders, send
from tests.helpers.listeners import listener
from tests.helpers.topics import make_topics
from tests.helpers.waiting import assert_within, wait_until, within


@pytest.fixture
def ready(settings: Settings) -> Settings:
    """Topics, users and a product."""
    make_topics(settings)
    add_parents(settings, users=100)
    return settings


def kill_all(report: ConsumeReport) -> None:
    for line in report.instances:
        if line.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(line.pid, signal.SIGKILL)


def test_an_instance_that_keeps_crashing_ends_consume(ready: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "MOST_FAILURES", 3)
    with pytest.raises(CannotKeepAlive, match="instance 0 died 3 times in a row, exit code -9"):
        Supervisor(ready, instances=1).run(threading.Event(), on_report=kill_all, interval=0.1)


def test_an_instance_that_stands_still_is_killed_and_replaced(ready: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "SILENCE_SECONDS", 5.0)
    with consuming(ready, instances=1) as reports:
        send(ready, ORDERS, many_orders(50))
        wait_until(lambda: stored(ready) == 50, message="it runs")
        [stopped] = [line.pid for line in reports[0].instances]
        assert stopped
        os.kill(stopped, signal.SIGSTOP)
        send(ready, ORDERS, many_orders(50))
        wait_until(lambda: stored(ready) == 100, message="another process has taken its place")
        assert not psutil.pid_exists(stopped)
    check(ready, 100)


def test_a_question_without_an_answer_stops_nothing(ready: Settings) -> None:
    """A PostgreSQL that stands still answers no `done`."""
    stop, answer = threading.Event(), threading.Event()
    reports: list[ConsumeReport] = []

    def done() -> bool:
        wait_until(lambda: reports, message="it goes on meanwhile")
        answer.wait(60)
        return False

    def on_report(report: ConsumeReport) -> None:
        reports.append(report)
        if report.instances[0].state == "running":
            kill_all(report) if report.restarts == 0 else stop.set()

    supervisor = Supervisor(ready, instances=1, done=done)
    supervisor.run(stop, on_report=on_report, interval=0.1)
    answer.set()
    assert reports[-1].restarts == 1


def test_consume_ends_in_time_without_an_answer_from_kafka(ready: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "DRAIN_SECONDS", 2.0)
    monkeypatch.setattr(supervise, "LEAVE_SECONDS", 1.0)
    monkeypatch.setattr(prerequisites, "require", lambda _: None)  # it was there at the start
    with listener() as silent:
        away = ready.model_copy(update={"kafka_bootstrap_servers": f"127.0.0.1:{silent.port}"})
        stop, stopped = threading.Event(), []

        def on_report(_report: ConsumeReport) -> None:
            if silent.used and not stop.is_set():
                stopped.append(time.monotonic())
                stop.set()

        Supervisor(away, instances=2).run(stop, on_report=on_report, interval=0.1)
        assert_within(3, time.monotonic() - stopped[0], "the end")  # the client alone would wait for six seconds


def test_a_drained_group_has_no_members_and_no_lag(ready: Settings) -> None:
    """Static members that only close would keep their partitions from others for a session."""
    with consuming(ready, instances=2):
        send(ready, ORDERS, many_orders(50))
        wait_until(lambda: stored(ready) == 50, message="they run")
    client = KafkaAdminClient(bootstrap_servers=ready.brokers)
    try:
        [group] = client.describe_groups([ready.kafka_group]).values()
    finally:
        client.close()
    assert group["members"] == []
    told = [log.committed for log in log_offsets(ready) if log.end]
    assert told == [log.end for log in log_offsets(ready) if log.end]


def test_leaving_the_group_is_given_up_in_time() -> None:
    with listener() as silent:
        settings = settings_module.load(kafka_bootstrap_servers=f"127.0.0.1:{silent.port}")
        with within(1):
            leave_group(settings, ["a"], seconds=0.3)


def test_instances_without_partitions_are_warned_about(ready: Settings, caplog: pytest.LogCaptureFixture) -> None:
    Supervisor(ready, instances=16)
    assert "16 instances: with the 15 partitions that topics init makes, 1 have nothing to do" in caplog.text
