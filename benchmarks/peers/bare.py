"""The least that a pipeline with confluent-kafka can do: linger 0, poll, COPY, COMMIT, and nothing else.

Its loop leaves offsets to librdkafka, checks nothing, and stores twice or never what a crash leaves behind: it shows
how long the way through Kafka and PostgreSQL takes on this machine when next to nothing is added.
"""

from __future__ import annotations

import json
import random
import sys
import time
from datetime import UTC, datetime
from io import StringIO
from typing import Any
from uuid import uuid4

import psycopg2
from confluent_kafka import Consumer, Producer

from benchmarks.peers.orders import COPY, brokers, csv_text, postgres

_AT_ONCE = 5_000


def loop(group: str) -> None:
    """Store what comes from now on, without end; a line on standard output has the number of partitions it owns."""
    consumer = Consumer({"bootstrap.servers": brokers(), "group.id": group, "auto.offset.reset": "latest"})
    consumer.subscribe(["orders"], on_assign=lambda _, partitions: print(len(partitions), flush=True))
    connection = psycopg2.connect(**postgres())
    while True:
        if values := _next(consumer):
            with connection.cursor() as cursor:
                cursor.copy_expert(f"{COPY} (FORMAT csv)", StringIO(csv_text(values)))
            connection.commit()


def _next(consumer: Any) -> list[bytes]:
    """The first message that comes, and those that are here with it."""
    messages = [consumer.poll(0.5)]
    while messages[-1] is not None and len(messages) < _AT_ONCE:
        messages.append(consumer.poll(0))
    return [message.value() for message in messages if message is not None and not message.error()]


def produce(rate: float, seconds: float) -> None:
    """Evenly, with acks=all, as an idempotent producer."""
    producer = Producer({"bootstrap.servers": brokers(), "linger.ms": 0, "acks": "all", "enable.idempotence": True})
    begin = time.monotonic()
    for number in range(int(rate * seconds)):
        if (early := begin + number / rate - time.monotonic()) > 0:
            producer.poll(0)
            time.sleep(early)
        user = f"u_{random.randint(1, 1_000):08}"
        producer.produce("orders", key=user, value=_event(user))
    producer.flush()


def _event(user: str) -> bytes:
    now = datetime.now(UTC).isoformat()
    order = {
        "order_id": str(uuid4()),
        "user_id": user,
        "product_id": f"p_{random.randint(1, 1_000):08}",
        "quantity": 1,
        "total_amount": 92_960,
        "payment_method": "신용카드",
        "status": "결제완료",
        "category": "신발/가방",
        "user_region": "인천",
        "user_gender": "F",
        "user_age_group": "20대",
        "created_at": now,
    }
    return json.dumps({"event_type": "order_created", "timestamp": now, "order": order}, ensure_ascii=False).encode()


if __name__ == "__main__":
    produce(float(sys.argv[1]), float(sys.argv[2]))
