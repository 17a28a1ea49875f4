"""Another application in our consumer group, by mistake: its partitions would be stored by nobody."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from confluent_kafka import Consumer

from sesacctl.errors import GroupShared
from sesacctl.events import ORDERS
from sesacctl.pipeline.supervise.supervisor import Supervisor
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import consuming
from tests.helpers.topics import make_topics
from tests.helpers.waiting import wait_until

CLIENT_ID = "billing-app"
PROTOCOLS = {
    "range": {"partition.assignment.strategy": "range"},
    "roundrobin": {"partition.assignment.strategy": "roundrobin"},
    "KIP-848": {"group.protocol": "consumer"},
}


@contextmanager
def other_application(settings: Settings, protocol: str) -> Iterator[None]:
    """A member of our group, from when it has partitions."""
    stop, owns = threading.Event(), threading.Event()
    base = {"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": settings.kafka_group}
    consumer = Consumer({**base, "client.id": CLIENT_ID, **PROTOCOLS[protocol]})
    consumer.subscribe([settings.topic(ORDERS)])

    def work() -> None:
        while not stop.is_set():
            consumer.poll(0.2)
            if consumer.assignment():
                owns.set()
        consumer.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert owns.wait(60)
        yield
    finally:
        stop.set()
        thread.join(30)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_group_used_by_another_application_is_refused(settings: Settings, sesacctl: Cli, protocol: str) -> None:
    make_topics(settings)
    with other_application(settings, protocol):
        done = sesacctl("consume", "-n", "1")
        assert done.returncode == 3
        assert f"group {settings.kafka_group} has members of another application: {CLIENT_ID} at " in done.stderr
        assert "next:  set KAFKA_GROUP" in done.stderr
        checks = {each["name"]: each for each in json.loads(sesacctl("health", "-o", "json").stdout)["checks"]}
        assert checks["consumers"]["verdict"] == "unhealthy"
        assert f"0 members, lag 0; 1 member of another application: {CLIENT_ID} at" in checks["consumers"]["evidence"]


def test_an_instance_refused_by_the_group_ends_the_run(settings: Settings) -> None:
    """It came after the look at the start."""
    make_topics(settings)
    supervisor = Supervisor(settings, instances=1)
    with other_application(settings, "range"), pytest.raises(GroupShared, match=f"{CLIENT_ID} at "):
        supervisor.run(threading.Event())
    assert supervisor.report().restarts == 0


@pytest.mark.parametrize("protocol", ["roundrobin", "KIP-848"])
def test_a_foreign_member_that_joins_later_is_reported(
    settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    monkeypatch.setattr("sesacctl.pipeline.supervise.group_watch.EVERY_SECONDS", 0.2)
    caplog.set_level(logging.INFO)
    make_topics(settings)
    with consuming(settings) as reports:
        wait_until(lambda: reports and sum(len(each.partitions) for each in reports[0].instances) == 15)
        with other_application(settings, protocol):
            wait_until(lambda: f"members of another application: {CLIENT_ID} at" in caplog.text)
        wait_until(lambda: "the consumer group is our own again" in caplog.text)
        wait_until(lambda: sum(len(each.partitions) for each in reports[0].instances) == 15)
