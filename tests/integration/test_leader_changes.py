"""A consumer reads on soon after a partition has got another leader, as in a rolling restart of the brokers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kafka import KafkaConsumer, TopicPartition

from sesacctl.broker import clients
from sesacctl.broker.kafka_python.admin_requests import living_brokers
from sesacctl.events import ORDERS
from sesacctl.settings import Settings
from tests.helpers.events import many_orders, send
from tests.helpers.topics import make_topics
from tests.helpers.waiting import wait_until

HELD_BACK_MS = 60_000
LATE_SECONDS = 0.3
BUSY, IDLE = 0, 1
_PREFERRED = 0  # of two kinds of elections


@pytest.fixture
def consumer(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Reads two partitions with one leader, which holds fetches back for long; who leads is heard of late."""
    slow = {"fetch_max_wait_ms": HELD_BACK_MS, "request_timeout_ms": 2 * HELD_BACK_MS}
    monkeypatch.setattr(clients, "KafkaConsumer", lambda **options: KafkaConsumer(**options | slow))
    make_topics(settings)
    lead(settings, {BUSY: 0, IDLE: 0})
    found = clients.consumer(settings, group_instance_id=None)
    partitions = [TopicPartition(settings.topic(ORDERS), number) for number in (BUSY, IDLE)]
    cluster = found._manager.cluster
    refresh = cluster._do_refresh_metadata

    async def refresh_late(node_id: Any) -> None:
        await found._manager._net.sleep(LATE_SECONDS)
        await refresh(node_id)

    cluster._do_refresh_metadata = refresh_late
    found.assign(partitions)
    found.seek_to_beginning(*partitions)
    yield found
    found.close()


def lead(settings: Settings, leaders: dict[int, int]) -> None:
    """Have each partition of orders led by a broker, which is given by its place among all."""
    topic = settings.topic(ORDERS)
    with clients.admin_client(settings) as admin:

        def leading() -> dict[int, int]:
            [described] = admin.describe_topics([topic])
            return {each["partition_index"]: each["leader_id"] for each in described["partitions"]}

        brokers = living_brokers(admin)
        wanted = {number: brokers[place:] + brokers[:place] for number, place in leaders.items()}
        admin.alter_partition_reassignments(
            {TopicPartition(topic, number): replicas for number, replicas in wanted.items()}
        )
        wait_until(lambda: not admin.list_partition_reassignments(), message="replicas are still moved")
        admin.elect_leaders(_PREFERRED, {topic: list(wanted)}, raise_errors=False)
        wait_until(
            lambda: {number: replicas[0] for number, replicas in wanted.items()}.items() <= leading().items(),
            message="others lead still",
        )


def read(consumer: Any) -> None:
    """Wait until a record came."""
    wait_until(lambda: consumer.poll(500), HELD_BACK_MS / 2000, "a fetch was waited for that a broker holds back")


def test_a_new_leader_is_read_before_a_fetch_held_back_returns(consumer: Any, settings: Settings) -> None:
    """The next fetch has the former leader's epoch: it is sent back, and then one of the idle partition held back."""
    for place in (1, 2, 1):
        send(settings, ORDERS, many_orders(1), partition=BUSY)
        read(consumer)
        send(settings, ORDERS, many_orders(1), partition=BUSY)  # it ends the fetch that is held back since
        lead(settings, {BUSY: place})
        read(consumer)
    send(settings, ORDERS, many_orders(1), partition=BUSY)
    read(consumer)
