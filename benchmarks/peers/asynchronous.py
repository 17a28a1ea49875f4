"""aiokafka with asyncpg's COPY in binary: rows, then the offsets to Kafka; at least once."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer
from aiokafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
from aiokafka.errors import KafkaError

from benchmarks.peers.orders import COLUMNS, MOVE_STAGED, STAGE, brokers, postgres, tuples


def copy(group: str) -> None:
    """Consume until it is ended."""
    asyncio.run(_consume(group))


async def _consume(group: str) -> None:
    where = postgres()
    connection = await asyncpg.connect(
        host=where["host"], port=int(where["port"]), user=where["user"], database=where["dbname"]
    )
    consumer = AIOKafkaConsumer(
        "orders",
        bootstrap_servers=brokers(),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        partition_assignment_strategy=(RoundRobinPartitionAssignor,),
        max_partition_fetch_bytes=4 << 20,
    )
    await consumer.start()
    while True:
        found = await consumer.getmany(timeout_ms=200, max_records=5_000)
        values = [record.value for records in found.values() for record in records]
        if values:
            await _store(connection, tuples(values))
            with suppress(KafkaError):  # where the group is changing, they go with the next batch
                await consumer.commit()


async def _store(connection: Any, rows: list[tuple[Any, ...]]) -> None:
    """COPY straight into the table; a batch that holds an order again goes the long way."""
    try:
        await connection.copy_records_to_table("orders", records=rows, columns=COLUMNS)
    except asyncpg.UniqueViolationError:
        async with connection.transaction():
            await connection.execute(STAGE)
            await connection.copy_records_to_table("staged", records=rows, columns=COLUMNS)
            await connection.execute(MOVE_STAGED)
