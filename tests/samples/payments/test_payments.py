"""A project that knows nothing of sesacctl but its fixtures: payments go through Kafka into PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

PAYMENTS = 300


async def store(database: Any, numbers: set[int]) -> int:
    connection = await asyncpg.connect(database.url)
    await connection.executemany("INSERT INTO payments VALUES ($1)", [(number,) for number in numbers])
    stored: int = await connection.fetchval("SELECT count(*) FROM payments")
    await connection.close()
    return stored


@pytest.mark.breaks_servers
def test_payments_outlive_a_broker(kafka_cluster: Any, kafka_prefix: str, postgres_database: Any) -> None:
    servers, topic = {"bootstrap.servers": kafka_cluster.bootstrap_servers}, f"{kafka_prefix}payments"
    admin = AdminClient(servers)
    admin.create_topics([NewTopic(topic, num_partitions=3, replication_factor=3)])[topic].result(30)
    producer = Producer({**servers, "acks": "all", "enable.idempotence": True})
    for number in range(PAYMENTS):
        producer.produce(topic, key=str(number), value=str(number))
        if number == PAYMENTS // 2:
            kafka_cluster.kill(2)
    assert producer.flush(60) == 0
    consumer = Consumer({**servers, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    received: set[int] = set()
    while len(received) < PAYMENTS:
        received |= {int(each.value()) for each in consumer.consume(100, timeout=1) if not each.error()}
    consumer.close()
    assert asyncio.run(store(postgres_database, received)) == PAYMENTS
