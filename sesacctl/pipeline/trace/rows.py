"""What PostgreSQL has of one event: its row, and records of it that are kept as dead letters or parked events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sesacctl import envelopes
from sesacctl.database import row_security
from sesacctl.database.connections import transaction
from sesacctl.database.cursors import as_bytes, fetch_row
from sesacctl.events import CODECS, ORDERS, PRODUCTS, USERS, Kind, Malformed, Order
from sesacctl.pipeline.audit import removals
from sesacctl.pipeline.audit.removals import Removals
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions

_KEPT = 'id, topic, topic_id, partition, "offset", key, value, record_time, detail'


Place = tuple[UUID, int, int]
"""Topic id, partition and offset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRow:
    """A row: `key` is what its records are keyed by, `transaction` the 32-bit id of the one that wrote it last.

    `committed_at` is when that transaction was committed; None where the server keeps no such times.
    """

    key: str
    created_at: datetime
    transaction: str
    committed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptRecord:
    """A record that is not a row; a parked event has no `reason`, and its `since` is when it began to wait.

    `erased_at`: since then it has no bytes, as its user was forgotten. `waits_for`: the user and product that are not
    there, of a parked order; empty if both are there by now.
    """

    id: int
    topic: str
    topic_id: UUID
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    record_time: datetime | None
    detail: str
    since: datetime
    attempts: int
    tried_at: datetime | None
    reason: str | None
    discarded_at: datetime | None
    erased_at: datetime | None
    waits_for: tuple[str, ...] = ()

    @property
    def place(self) -> Place:
        """Where it was in Kafka."""
        return self.topic_id, self.partition, self.offset


@dataclass(frozen=True, slots=True, kw_only=True)
class CutVerdict:
    """A verdict that a log was cut, accepted or not."""

    partition: int
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tables:
    """What the tables have of one event: more than one row only where its table has no primary key.

    `removals`: what was removed lawfully, whatever its id. `zone` is that of event times that have none.
    """

    rows: list[StoredRow]
    kept: list[KeptRecord]
    cuts: list[CutVerdict]
    removals: Removals
    zone: tzinfo


def look_up(settings: Settings, kind: Kind, row_id: str | None, places: Sequence[Place] = ()) -> Tables:
    """Everything that the tables have of this id, for the group of the settings, or of the records at `places`.

    Raises:
        ServerUnreachable: PostgreSQL is away.
        ServerRefused: PostgreSQL refused the login, or rights are missing.
        SchemaNotAtHead: a table or column is missing.
        DatabaseMissing: PostgreSQL has no such database.
    """
    parts = {f"part{n}": part for n, part in enumerate(((row_id or "").encode(), *envelopes.DISGUISES))}
    where = "topic = %(topic)s AND (" + " OR ".join(f"position(%({name})s IN value) > 0" for name in parts) + ")"
    if row_id is None:
        where = "false"
    if places:
        where = f'({where} OR (topic_id, partition, "offset") IN %(places)s)'
    values = {"topic": settings.topic(kind), "places": tuple(places), **parts}
    with transaction(settings, command="trace", bound=600) as cursor:
        row_security.require_visible(cursor, (kind, "dead_letters", "parked_events", "log_cuts", "row_changes"))
        found = _kept(cursor, settings.kafka_group, where, values)
        kept = [
            with_absent_parents(cursor, kind, record)
            for record in found
            if record.place in places or envelopes.find_id(kind, record.key, record.value) == row_id
        ]
        # In this order: running consumers move parked events into the table, and never back; who removes a row has
        # written it down by then.
        rows = _rows(cursor, kind, row_id)
        return Tables(
            rows=rows,
            kept=kept,
            cuts=_cuts(cursor, settings, kind),
            removals=removals.read(cursor),
            zone=settings.event_timezone,
        )


def _kept(cursor: extensions.cursor, group: str, where: str, values: Mapping[str, object]) -> list[KeptRecord]:
    """In one statement, as a parked event may become a dead letter."""
    cursor.execute(
        f"SELECT {_KEPT}, parked_at, attempts, tried_at, NULL::text, NULL::timestamptz,"
        " NULL::timestamptz FROM parked_events"
        f" WHERE consumer_group = %(group)s AND {where}"
        f" UNION ALL SELECT {_KEPT}, created_at, 0, NULL, reason, discarded_at, erased_at FROM dead_letters"
        f' WHERE consumer_group = %(group)s AND {where} ORDER BY partition, "offset", id',
        {**values, "group": group},
    )
    return [_record(row) for row in cursor.fetchall()]


def select_parked(cursor: extensions.cursor, group: str, limit: int) -> list[KeptRecord]:
    """The parked events of a group, the one that waits longest first."""
    cursor.execute(
        f"SELECT {_KEPT}, parked_at, attempts, tried_at, NULL::text, NULL::timestamptz, NULL::timestamptz"
        " FROM parked_events WHERE consumer_group = %s ORDER BY parked_at, id LIMIT %s",
        (group, limit),
    )
    return [_record(row) for row in cursor.fetchall()]


def _record(row: tuple[Any, ...]) -> KeptRecord:
    return KeptRecord(
        **dict(zip(_KEPT.replace('"', "").split(", "), row[:9], strict=True))
        | {"key": as_bytes(row[5]), "value": as_bytes(row[6])},
        since=row[9],
        attempts=row[10],
        tried_at=row[11],
        reason=row[12],
        discarded_at=row[13],
        erased_at=row[14],
    )


def with_absent_parents(cursor: extensions.cursor, kind: Kind, record: KeptRecord) -> KeptRecord:
    """A parked order with the user and product that it waits for; any other record as it is."""
    if kind is not ORDERS or record.reason is not None:
        return record
    try:
        order, _ = envelopes.decode(kind, record.key, record.value, 0)
    except Malformed:
        return record
    assert isinstance(order, Order)
    cursor.execute(
        f"SELECT EXISTS (SELECT FROM {USERS} WHERE user_id = %s),"
        f" EXISTS (SELECT FROM {PRODUCTS} WHERE product_id = %s)",
        (order.user_id, order.product_id),
    )
    user, product = fetch_row(cursor)
    absent = (*(() if user else (f"user {order.user_id}",)), *(() if product else (f"product {order.product_id}",)))
    return replace(record, waits_for=absent)


def _rows(cursor: extensions.cursor, kind: Kind, row_id: str | None) -> list[StoredRow]:
    codec = CODECS[kind]
    if row_id is None or "\0" in row_id:
        return []
    cursor.execute(
        f"SELECT {codec.message_key}, created_at, xmin::text,"
        " CASE WHEN current_setting('track_commit_timestamp')::boolean THEN pg_xact_commit_timestamp(xmin) END"
        f" FROM {kind} WHERE {codec.id_column} = %s",
        (row_id,),
    )
    return [
        StoredRow(key=key, created_at=at, transaction=number, committed_at=committed_at)
        for key, at, number, committed_at in cursor.fetchall()
    ]


def _cuts(cursor: extensions.cursor, settings: Settings, kind: Kind) -> list[CutVerdict]:
    cursor.execute(
        "SELECT partition, detail FROM log_cuts WHERE consumer_group = %s AND topic = %s ORDER BY id",
        (settings.kafka_group, settings.topic(kind)),
    )
    return [CutVerdict(partition=partition, detail=detail) for partition, detail in cursor.fetchall()]
