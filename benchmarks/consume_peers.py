"""What others would write instead of `sesacctl consume`; each runs until it is ended.

`python -m benchmarks.consume_peers confluent|predecessor GROUP` reads the same settings from the environment.
"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import Any

import psycopg2
from psycopg2.extras import execute_values

from sesacctl import settings as settings_module
from sesacctl.database.location import locate
from sesacctl.events import CODECS, ORDERS
from sesacctl.settings import Settings

COLUMNS = CODECS[ORDERS].columns


def main() -> None:
    """Run one of the peers."""
    {"confluent": confluent, "predecessor": predecessor}[sys.argv[1]](settings_module.load(), sys.argv[2])


def _connect(settings: Settings) -> Any:
    return psycopg2.connect(**locate(settings).parameters)


def _consumer(settings: Settings, group: str) -> Any:
    from confluent_kafka import Consumer

    consumer = Consumer(
        {
            "bootstrap.servers": ",".join(settings.brokers),
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "partition.assignment.strategy": "roundrobin",
        }
    )
    consumer.subscribe([settings.topic(ORDERS)])
    return consumer


def _commit(consumer: Any) -> None:
    """Where the group is changing, the offsets go with the next batch: at least once, as such consumers are."""
    from confluent_kafka import KafkaException

    with suppress(KafkaException):
        consumer.commit(asynchronous=False)


def _row(value: bytes) -> tuple[Any, ...]:
    order = json.loads(value)["order"]
    return tuple(order[name] for name in COLUMNS)


def confluent(settings: Settings, group: str) -> None:
    """confluent-kafka, batches of 5,000, `execute_values … ON CONFLICT DO NOTHING`, then the offsets to Kafka."""
    consumer, connection = _consumer(settings, group), _connect(settings)
    statement = f"INSERT INTO orders ({', '.join(COLUMNS)}) VALUES %s ON CONFLICT DO NOTHING"
    while True:
        messages = [message for message in consumer.consume(5_000, timeout=0.2) if not message.error()]
        if messages:
            with connection.cursor() as cursor:
                execute_values(cursor, statement, [_row(message.value()) for message in messages], page_size=1_000)
            connection.commit()
            _commit(consumer)


def predecessor(settings: Settings, group: str) -> None:
    """The shape of the bootcamp's consumer: ping, SELECT, INSERT, two UPDATEs and a COMMIT for each message."""
    consumer, connection = _consumer(settings, group), _connect(settings)
    insert = f"INSERT INTO orders ({', '.join(COLUMNS)}) VALUES ({', '.join(['%s'] * len(COLUMNS))})"
    while True:
        message = consumer.poll(0.2)
        if message is None or message.error():
            continue
        row = dict(zip(COLUMNS, _row(message.value()), strict=True))
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.execute("SELECT 1 FROM orders WHERE order_id = %s", (row["order_id"],))
            if cursor.fetchone() is None:
                cursor.execute(insert, tuple(row.values()))
                cursor.execute("UPDATE users SET age = age WHERE user_id = %s", (row["user_id"],))
                cursor.execute("UPDATE products SET stock = stock WHERE product_id = %s", (row["product_id"],))
        connection.commit()
        _commit(consumer)


if __name__ == "__main__":
    main()
