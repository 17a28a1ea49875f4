"""Parked events: which they are, and whom each waits for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sesacctl import envelopes
from sesacctl.database import row_security
from sesacctl.database.connections import transaction
from sesacctl.database.cursors import fetch_row
from sesacctl.events import PARTITIONS, Kind
from sesacctl.pipeline.trace.rows import KeptRecord, select_parked, with_absent_parents
from sesacctl.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedEvent:
    """One parked event; `id` is None if its bytes do not tell, `waits_for` is empty if all are there by now."""

    topic: str
    partition: int
    offset: int
    id: str | None
    since: datetime
    attempts: int
    waits_for: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedPage:
    """Those that wait longest; `total` are parked, `beyond` of them are not among `items`."""

    items: list[ParkedEvent]
    total: int
    beyond: int


def read_parked(settings: Settings, *, limit: int) -> ParkedPage:
    """The parked events of the group, the one that waits longest first.

    Raises:
        ServerUnreachable: PostgreSQL is away.
        ServerRefused: PostgreSQL refused the login, or rights are missing.
        SchemaNotAtHead: a table or column is missing.
        DatabaseMissing: PostgreSQL has no such database.
    """
    kinds = {settings.topic(kind): kind for kind in PARTITIONS}
    with transaction(settings, command="parked-list") as cursor:
        row_security.require_visible(cursor, ("parked_events",))
        found = select_parked(cursor, settings.kafka_group, limit)
        items = [
            _event(with_absent_parents(cursor, kinds[each.topic], each) if each.topic in kinds else each, kinds)
            for each in found
        ]
        cursor.execute("SELECT count(*) FROM parked_events WHERE consumer_group = %s", (settings.kafka_group,))
        total = max(len(items), int(fetch_row(cursor)[0]))
    return ParkedPage(items=items, total=total, beyond=total - len(items))


def _event(record: KeptRecord, kinds: dict[str, Kind]) -> ParkedEvent:
    kind = kinds.get(record.topic)
    return ParkedEvent(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        id=None if kind is None else envelopes.find_id(kind, record.key, record.value),
        since=record.since,
        attempts=record.attempts,
        waits_for=record.waits_for,
    )
