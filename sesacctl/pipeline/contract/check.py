"""What the consumer would do with events that are still in a file, by its own decoder."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

from sesacctl.envelopes import outline, plain
from sesacctl.events import CODECS, ORDERS, PRODUCTS, USERS, Codec, Kind, Malformed
from sesacctl.pipeline.sink.explain import explain

_ANOTHER_ZONE = timezone(timedelta(minutes=1))  # of no place: a time that is another one there has no zone
STORE, DEAD_LETTER = "store", "dead_letter"
_TYPES = {"order_created": ORDERS, "user_created": USERS, "product_created": PRODUCTS}
# A bare row by a column that no table before it has.
_ROWS = (("order_id", ORDERS), ("product_id", PRODUCTS), ("user_id", USERS))


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedEvent:
    """What would become of one event: `action` is `store` or `dead_letter`; `reason` and `detail` as `dlq` has them.

    `kind` is None where nothing shows of which topic it is: it would be refused in each. `created_at`: as it is read.
    """

    line: int
    kind: Kind | None
    action: str
    id: str | None
    created_at: datetime | None
    unknown_fields: bool
    reason: str | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCheck:
    """All events of a file, and how many would be accepted and refused."""

    events: list[CheckedEvent]
    accepted: int
    refused: int


def check(content: bytes, kind: Kind | None = None, zone: tzinfo = UTC) -> EventCheck:
    """Decode events as the consumer does: one JSON document, or one on each line that is not blank.

    `kind`: orders, users or products; by default found by the type or fields. The key of a record is taken to be
    right, and what only PostgreSQL can know is not looked at: an id that is taken, a user or product that is missing.
    """
    events = [_check(line, value, kind, zone) for line, value in _split(content)]
    accepted = sum(event.action == STORE for event in events)
    return EventCheck(events=events, accepted=accepted, refused=len(events) - accepted)


def _split(content: bytes) -> Iterator[tuple[int, bytes]]:
    lines = [(number, line) for number, line in enumerate(content.split(b"\n"), start=1) if line.strip()]
    if len(lines) == 1 or outline(content) or not any(outline(line) for _, line in lines):
        if lines:
            yield lines[0][0], content.strip(b"\r\n")
        return
    yield from ((number, line.rstrip(b"\r")) for number, line in lines)


def _check(line: int, value: bytes, kind: Kind | None, zone: tzinfo) -> CheckedEvent:
    document = plain(value, dict[str, Any])
    known = kind or _kind(document or {})
    codec = CODECS[known or ORDERS]
    try:
        key, now_ms = _key(codec, document or {}), time.time_ns() // 1_000_000
        row, unknown = codec.decode(key, value, now_ms, zone)
        elsewhere, _ = codec.decode(key, value, now_ms, _ANOTHER_ZONE)
    except Malformed as error:
        return CheckedEvent(
            line=line,
            kind=known,
            action=DEAD_LETTER,
            id=None,
            created_at=None,
            unknown_fields=False,
            reason=error.reason.value,
            detail=explain(error, None, value, ()),
        )
    return CheckedEvent(
        line=line,
        kind=known,
        action=STORE,
        id=codec.id_of(row),
        created_at=row.created_at,
        unknown_fields=unknown,
        reason=None,
        detail="; ".join(_remarks(codec, unknown, None if row.created_at == elsewhere.created_at else zone)),
    )


def _remarks(codec: Codec, unknown: bool, assumed: tzinfo | None) -> Iterator[str]:
    if codec is CODECS[ORDERS]:
        yield "parked while its user or product is not there"
    if assumed is not None:
        yield f"its time has no zone: read as {assumed}"
    if unknown:
        yield "unknown fields are ignored"


def _kind(document: dict[str, Any]) -> Kind | None:
    """The topic that an event is for: by its type, else the member that holds the row, else the row's own columns."""
    event_type = document.get("event_type")
    if isinstance(event_type, str) and event_type in _TYPES:
        return _TYPES[event_type]
    for kind, codec in CODECS.items():
        if codec.field in document:
            return kind
    return next((kind for column, kind in _ROWS if column in document), None)


def _key(codec: Codec, document: dict[str, Any]) -> bytes:
    row = document.get(codec.field, document)
    own = row.get(codec.message_key) if isinstance(row, dict) else None
    return own.encode() if isinstance(own, str) else b""
