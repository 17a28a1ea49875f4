"""Refused records, kept byte for byte: dead letters, and parked events that wait for their user or product."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from psycopg2.extras import Json, execute_values

from sesacctl.pipeline.batch import Refusal

_RAW = 'consumer_group, topic, topic_id, partition, "offset", key, value, headers, record_time'
_POSITION = '(consumer_group, topic_id, partition, "offset")'


def save_dead_letters(cursor: Any, group: str, refusals: Sequence[Refusal]) -> None:
    """Keep refused records with the reason; a record that is read again takes its old row's place."""
    if refusals:
        execute_values(
            cursor,
            f"INSERT INTO dead_letters ({_RAW}, reason, detail) VALUES %s ON CONFLICT {_POSITION} DO UPDATE"
            " SET reason = EXCLUDED.reason, detail = EXCLUDED.detail, discarded_at = NULL",
            [(*_raw(group, refusal), refusal.reason.value, refusal.detail) for refusal in refusals],
        )


def save_parked(cursor: Any, group: str, refusals: Sequence[Refusal]) -> None:
    """Keep records whose user or product is not there yet."""
    if refusals:
        execute_values(
            cursor,
            f"INSERT INTO parked_events ({_RAW}, detail) VALUES %s ON CONFLICT {_POSITION} DO NOTHING",
            [(*_raw(group, refusal), refusal.detail) for refusal in refusals],
        )


def unpack_headers(headers: Sequence[tuple[str, str | None]]) -> list[tuple[str, bytes | None]]:
    """Record headers as Kafka has them, from their JSON form in the tables (names and values in base64)."""
    return [(b64decode(name).decode(), None if value is None else b64decode(value)) for name, value in headers]


def _raw(group: str, refusal: Refusal) -> tuple[Any, ...]:
    record, batch = refusal.record, refusal.batch
    headers = [
        [b64encode(name.encode()).decode(), None if value is None else b64encode(value).decode()]
        for name, value in record.headers
    ]
    at = datetime.fromtimestamp(record.timestamp / 1000, UTC) if record.timestamp >= 0 else None
    position = (group, batch.topic, batch.topic_id, batch.partition, record.offset)
    return (*position, record.key, record.value, Json(headers), at)
