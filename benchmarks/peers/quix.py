"""Quix Streams with its PostgreSQL sink: `execute_values … ON CONFLICT DO NOTHING`; at least once."""

from __future__ import annotations

import tempfile
from typing import Any

from quixstreams import Application
from quixstreams.models.serializers import JSONDeserializer
from quixstreams.sinks.community.postgresql import PostgreSQLSink

from benchmarks.peers.orders import brokers, postgres


def insert(group: str) -> None:
    """Consume until it is ended.

    `commit_every` is as large as the batches of the others: its sink writes once for each partition and checkpoint.
    Columns are not looked for before each write, and its own two, for key and time, are left out.
    """
    with tempfile.TemporaryDirectory() as folder:
        application = Application(
            broker_address=brokers(),
            consumer_group=group,
            auto_offset_reset="earliest",
            commit_every=45_000,
            commit_interval=2.0,
            auto_create_topics=False,
            use_changelog_topics=False,
            state_dir=folder,
            loglevel="WARNING",
        )
        topic = application.topic("orders", value_deserializer=JSONDeserializer())
        application.dataframe(topic).apply(_order).sink(_sink())
        application.run()


def _order(event: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = event["order"]
    return row


def _sink() -> Any:
    return PostgreSQLSink(
        **{**postgres(), "password": ""},
        table_name="orders",
        schema_auto_update=False,
        include_metadata=False,
        on_conflict_do_nothing=True,
    )
