"""Rows and records for tests of the pipeline."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from kafka import KafkaProducer

from sesacctl.broker.kafka_python.consumer_records import Record
from sesacctl.database.connections import connect
from sesacctl.events import (
    ORDERS,
    Event,
    Kind,
    Order,
    OrderEvent,
    Product,
    ProductEvent,
    User,
    UserEvent,
    encode,
    uuid7,
)
from sesacctl.pipeline.sink.batch import Batch
from sesacctl.settings import Settings

AT = datetime(2026, 11, 22, 20, 0, 0, 123456, UTC)
Message = tuple[bytes | None, bytes | None]


def user(number: int = 1, **values: Any) -> UserEvent:
    """A new user `u<number>`."""
    row: dict[str, Any] = {"name": "홍길동", "gender": "M", "age": 30, "region": "서울"} | values
    return UserEvent(timestamp=AT, user=User(user_id=f"u{number}", **row))


def product(number: int = 1, **values: Any) -> ProductEvent:
    """A new product `p<number>`."""
    row: dict[str, Any] = {"name": "노트북", "price": 1000} | values
    return ProductEvent(timestamp=AT, product=Product(product_id=f"p{number}", **row))


def order(number: int = 1, **values: Any) -> OrderEvent:
    """An order `o<number>` of u1 and p1."""
    row: dict[str, Any] = {"order_id": f"o{number}", "user_id": "u1", "product_id": "p1", "quantity": 1}
    return OrderEvent(timestamp=AT, order=Order(**row | {"total_amount": 1000} | values))


def message(event: Event) -> Message:
    """Key and value."""
    _, key, value = encode(event)
    return key, value


def records(messages: Iterable[Message], *, first: int = 0) -> list[Record]:
    """Consumed records of messages at offsets from `first` on, a second apart from `AT` on."""
    began = int(AT.timestamp() * 1_000)
    return [
        Record(offset, began + 1_000 * offset, key, value, [(b"h", b"\xff"), (b"i", None)], 0)
        for offset, (key, value) in enumerate(messages, first)
    ]


def batch(
    messages: Sequence[Message], *, kind: Kind = ORDERS, topic_id: UUID | None = None, partition: int = 0, seen: int = 0
) -> Batch:
    """A batch of messages that starts at `seen`."""
    found = records(messages, first=seen)
    return Batch(kind, kind, topic_id or uuid4(), partition, seen, seen + len(found), found)


def send(
    settings: Settings,
    kind: str,
    messages: Iterable[Message],
    *,
    partition: int | None = None,
    timestamp_ms: int | None = None,
) -> None:
    """Send raw messages to a topic and wait for every acknowledgement."""
    producer = KafkaProducer(bootstrap_servers=settings.brokers, linger_ms=5, batch_size=256 * 1024)
    try:
        topic = settings.topic(kind)
        more = {"partition": partition, "timestamp_ms": timestamp_ms}
        futures = [producer.send(topic, key=key, value=value, **more) for key, value in messages]
        for future in futures:
            future.get(timeout=60)
    finally:
        producer.close()


def query(settings: Settings, statement: str, *values: Any) -> list[tuple[Any, ...]]:
    """The rows of a statement, committed."""
    connection = connect(settings, command="test")
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return list(cursor.fetchall()) if cursor.description else []
    finally:
        connection.close()


def add_parents(settings: Settings, users: int = 1, products: int = 1) -> None:
    """Users u1… and products p1… straight into PostgreSQL."""
    query(settings, "INSERT INTO users (user_id, name) SELECT 'u' || n, '홍길동' FROM generate_series(1, %s) n", users)
    query(
        settings,
        "INSERT INTO products (product_id, name, price) SELECT 'p' || n, '노트북', 1000 FROM generate_series(1, %s) n",
        products,
    )


def many_orders(count: int, users: int = 100) -> list[Message]:
    """Orders with new ids, spread over users u1… and product p1."""
    return [
        message(
            OrderEvent(
                timestamp=AT,
                order=Order(
                    order_id=uuid7(), user_id=f"u{n % users + 1}", product_id="p1", quantity=1, total_amount=1000
                ),
            )
        )
        for n in range(count)
    ]
