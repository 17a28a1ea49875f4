"""The next tests find everything as new: no row, no key, no topic, and three brokers."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic


@pytest.mark.parametrize("round_", range(3))
def test_a_database_is_empty(postgres_database: Any, round_: int) -> None:
    async def insert() -> int:
        connection = await asyncpg.connect(postgres_database.url)
        await connection.execute("INSERT INTO payments VALUES ($1)", round_)
        count: int = await connection.fetchval("SELECT count(*) FROM payments")
        await connection.close()
        return count

    assert asyncio.run(insert()) == 1


@pytest.mark.parametrize("round_", range(3))
def test_keys_are_gone(valkey_database: Any, round_: int) -> None:
    with valkey_database.client() as client:
        assert client.keys() == []
        client.set(f"round:{round_}", 1)


def test_three_brokers_take_messages(kafka_cluster: Any, kafka_prefix: str) -> None:
    async def send() -> int:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka_cluster.bootstrap_servers)
        await admin.start()
        await admin.create_topics([NewTopic(f"{kafka_prefix}again", 3, 3)])
        producer = AIOKafkaProducer(bootstrap_servers=kafka_cluster.bootstrap_servers, acks="all")
        await producer.start()
        sent = [await producer.send_and_wait(f"{kafka_prefix}again", b"one") for _ in range(3)]
        topics = [name for name in await admin.list_topics() if name.startswith(kafka_prefix)]
        await producer.stop()
        await admin.close()
        assert topics == [f"{kafka_prefix}again"]
        return len(sent)

    assert asyncio.run(send()) == 3
    assert len({kafka_cluster.pid(number) for number in kafka_cluster.brokers}) == 3


def test_servers_of_others_are_not_broken(kafka_cluster: Any) -> None:
    with pytest.raises(Exception, match="tests of other workers use these servers too"):
        kafka_cluster.kill(1)
