"""mq-bridge, whose engine is Rust: a route from Kafka to PostgreSQL's columns by COPY; at least once."""

from __future__ import annotations

from typing import Any

from mq_bridge import Route

from benchmarks.peers.orders import COLUMNS, LZ4_TOPIC, brokers, url


def copy(group: str) -> None:
    """Run the route until it is ended."""
    Route.from_config(_route(group)).run()


def _route(group: str) -> Any:
    """Fields of `order` are put on top first, as its columns are top-level fields."""
    values = ", ".join(f"${{payload:{name}}}" for name in COLUMNS)
    return {
        "batch_size": 5_000,
        "concurrency": 2,
        "input": {
            "kafka": {
                "url": brokers(),
                "topic": LZ4_TOPIC,
                "group_id": group,
                "consumer_options": [["auto.offset.reset", "earliest"]],
            },
            "middlewares": [{"transform": {"mapping": {name: f"$.order.{name}" for name in COLUMNS}}}],
        },
        "output": {
            "sqlx": {
                "url": url(),
                "table": "orders",
                "insert_query": f"INSERT INTO orders ({', '.join(COLUMNS)}) VALUES ({values})",
                "bulk_copy": True,
            }
        },
    }
