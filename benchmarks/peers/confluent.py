"""confluent-kafka with psycopg2 or psycopg 3: rows, COMMIT, then the offsets to Kafka; at least once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import StringIO
from typing import Any

from confluent_kafka import Consumer, KafkaException

from benchmarks.peers.orders import COLUMNS, COPY, COPY_STAGED, MOVE_STAGED, STAGE, brokers, csv_text, postgres, rows

# More at once made no difference.
_BATCH = 5_000


def execute_values(group: str) -> None:
    """Batches of 5,000, `execute_values … ON CONFLICT DO NOTHING`."""
    import psycopg2
    from psycopg2 import extras

    connection = psycopg2.connect(**postgres())
    statement = f"INSERT INTO orders ({', '.join(COLUMNS)}) VALUES %s ON CONFLICT DO NOTHING"

    def store(values: list[bytes]) -> None:
        with connection.cursor() as cursor:
            extras.execute_values(cursor, statement, [_row(value) for value in values], page_size=1_000)
        connection.commit()

    _run(group, store)


def copy(group: str) -> None:
    """COPY straight into the table, with psycopg2; a batch that holds an order again goes the long way."""
    import psycopg2
    from psycopg2.errors import UniqueViolation

    connection = psycopg2.connect(**postgres())

    def store(values: list[bytes]) -> None:
        text = csv_text(values)
        with connection.cursor() as cursor:
            try:
                cursor.copy_expert(f"{COPY} (FORMAT csv)", StringIO(text))
            except UniqueViolation:
                connection.rollback()
                cursor.execute(STAGE)
                cursor.copy_expert(f"{COPY_STAGED} (FORMAT csv)", StringIO(text))
                cursor.execute(MOVE_STAGED)
        connection.commit()

    _run(group, store)


def copy3(group: str) -> None:
    """The same with psycopg 3, whose `write_row` is compiled and faster than a block of text that Python makes."""
    import psycopg
    from psycopg.errors import UniqueViolation

    connection = psycopg.connect(**postgres())

    def send(cursor: Any, statement: str, values: list[bytes]) -> None:
        with cursor.copy(statement) as copying:
            for row in rows(values):
                copying.write_row(row)

    def store(values: list[bytes]) -> None:
        with connection.cursor() as cursor:
            try:
                send(cursor, COPY, values)
            except UniqueViolation:
                connection.rollback()
                cursor.execute(STAGE)
                send(cursor, COPY_STAGED, values)
                cursor.execute(MOVE_STAGED)
        connection.commit()

    _run(group, store)


def predecessor(group: str) -> None:
    """The shape of the bootcamp's consumer: ping, SELECT, INSERT, two UPDATEs and a COMMIT for each message."""
    import psycopg2

    connection = psycopg2.connect(**postgres())
    insert = f"INSERT INTO orders ({', '.join(COLUMNS)}) VALUES ({', '.join(['%s'] * len(COLUMNS))})"

    def store(values: list[bytes]) -> None:
        row = dict(zip(COLUMNS, _row(values[0]), strict=True))
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.execute("SELECT 1 FROM orders WHERE order_id = %s", (row["order_id"],))
            if cursor.fetchone() is None:
                cursor.execute(insert, tuple(row.values()))
                cursor.execute("UPDATE users SET age = age WHERE user_id = %s", (row["user_id"],))
                cursor.execute("UPDATE products SET stock = stock WHERE product_id = %s", (row["product_id"],))
        connection.commit()

    _run(group, store, at_once=1)


def _run(group: str, store: Callable[[list[bytes]], None], *, at_once: int = _BATCH) -> None:
    """Store and commit what comes, without end.

    Where the group is changing, the offsets go with the next batch: at least once, as such consumers are.
    """
    consumer = _consumer(group)
    for values in _batches(consumer, at_once):
        store(values)
        with suppress(KafkaException):
            consumer.commit(asynchronous=False)


def _batches(consumer: Any, at_once: int) -> Iterator[list[bytes]]:
    while True:
        values = [message.value() for message in consumer.consume(at_once, timeout=0.2) if not message.error()]
        if values:
            yield values


def _consumer(group: str) -> Any:
    consumer = Consumer(
        {
            "bootstrap.servers": brokers(),
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "roundrobin",
        }
    )
    consumer.subscribe(["orders"])
    return consumer


def _row(value: bytes) -> tuple[Any, ...]:
    order = json.loads(value)["order"]
    return tuple(order[name] for name in COLUMNS)
