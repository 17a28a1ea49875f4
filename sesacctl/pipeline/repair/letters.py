"""A dead letter as operators see it, read from its row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sesacctl import formatting
from sesacctl.database.cursors import as_bytes

if TYPE_CHECKING:
    from psycopg2 import extensions

_COLUMNS = (
    'id, topic, partition, "offset", reason, detail, created_at, discarded_at, record_time, patch, patched_at, key,'
    " value, headers"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One refused record; `key` and `value` as text as far as they are text, the bytes in base64.

    `patched_at`: since then its event is stored as `patch` has made it. A `patch` alone is from before the record was
    read and refused once more.
    """

    id: int
    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    created_at: datetime
    discarded_at: datetime | None
    record_time: datetime | None
    patch: dict[str, Any] | None
    patched_at: datetime | None
    key: str | None
    value: str | None
    key_base64: str | None
    value_base64: str | None
    headers: list[tuple[str, str | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterPage:
    """The newest dead letters; `total` match, `beyond` of them are not among `items`; `by_reason` counts all."""

    items: list[DeadLetter]
    total: int
    beyond: int
    by_reason: dict[str, int]


def read_letters(
    cursor: extensions.cursor, where: str, values: list[Any], *, order: str, limit: int | None
) -> Iterator[DeadLetter]:
    """Those that a condition chooses, as they come."""
    cursor.execute(
        f"SELECT {_COLUMNS} FROM dead_letters WHERE {where} ORDER BY {order} LIMIT %s",
        [*values, limit],
    )
    for *columns, raw_key, raw_value, headers in cursor:
        key, value = as_bytes(raw_key), as_bytes(raw_value)
        yield DeadLetter(
            **dict(zip(DeadLetter.__slots__, columns, strict=False)),
            key=formatting.readable(key),
            value=formatting.readable(value),
            key_base64=formatting.base64_text(key),
            value_base64=formatting.base64_text(value),
            headers=[tuple(header) for header in headers],
        )
