"""Clients whose first bootstrap servers are dead, hung or no brokers: the others are there."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import NodeNotReadyError

from sesacctl.broker import bootstrap, clients, topics
from sesacctl.broker.kafka_python import connections
from sesacctl.broker.kafka_python.admin_requests import living_brokers
from sesacctl.errors import ServerUnreachable
from sesacctl.settings import Settings
from tests.helpers.listeners import listener
from tests.helpers.waiting import within

KINDS: dict[str, Callable[[Settings], Any]] = {
    "admin": clients.admin,
    "producer": lambda settings: clients.producer(settings, delivery_seconds=10.0),
    "consumer": lambda settings: clients.consumer(settings, group_instance_id=None),
}


@pytest.fixture
def dead() -> Iterator[str]:
    """An address that refuses connections: its port is bound, and nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def with_brokers(settings: Settings, *servers: str) -> Settings:
    return settings.model_copy(update={"kafka_bootstrap_servers": ",".join(servers)})


@pytest.mark.parametrize("kind", KINDS)
def test_each_client_connects_past_dead_and_hung_brokers(settings: Settings, dead: str, kind: str) -> None:
    with listener() as hung:
        partly = with_brokers(settings, dead, f"127.0.0.1:{hung.port}", settings.brokers[0])
        for _ in range(10):
            with within(2):
                KINDS[kind](partly).close()


def test_a_server_that_speaks_something_else_is_passed_over(settings: Settings) -> None:
    with listener(b"-ERR unknown command\r\n") as other:
        partly = with_brokers(settings, f"127.0.0.1:{other.port}", *settings.brokers)
        found = bootstrap.reachable(partly, seconds=5.0)
        assert (found.answering, found.silent) == (settings.brokers, [f"127.0.0.1:{other.port}"])


def test_a_single_server_is_asked_by_its_client_alone(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(clients, "reachable")
    clients.admin(with_brokers(settings, settings.brokers[0])).close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_command_gives_up_in_time_when_no_broker_answers(settings: Settings, dead: str, kind: str) -> None:
    with listener() as hung, listener() as another:
        nobody = with_brokers(settings, f"127.0.0.1:{hung.port}", dead, f"127.0.0.1:{another.port}")
        with within(10), pytest.raises(ServerUnreachable, match=dead):
            KINDS[kind](nobody)


def test_a_request_waits_for_a_broker_that_was_silent(settings: Settings) -> None:
    topics.init(settings)
    client = clients.admin(settings)
    manager = connections.manager_of(client)
    connections.avoid(manager, [f"{each.host}:{each.port}" for each in manager.cluster.brokers()], 1000)
    try:
        with within(6):
            assert (
                len(client.list_partition_offsets({TopicPartition(settings.topic("orders"), 0): OffsetSpec.LATEST}))
                == 1
            )
            assert len(living_brokers(client)) == 3
    finally:
        client.close()


def test_a_request_does_not_wait_beyond_its_own_time(settings: Settings) -> None:
    client = clients.admin(settings, timeout_ms=2_000)
    manager = connections.manager_of(client)
    connections.avoid(manager, [f"{each.host}:{each.port}" for each in manager.cluster.brokers()], 1000)
    try:
        with within(1), pytest.raises(NodeNotReadyError):
            living_brokers(client)
    finally:
        client.close()
