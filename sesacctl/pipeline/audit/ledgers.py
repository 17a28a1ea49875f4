"""Producers' ledgers compared with PostgreSQL: acknowledged means stored once, sent means at most once, else never."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sesacctl import envelopes
from sesacctl.database.connections import transaction
from sesacctl.database.cursors import as_bytes
from sesacctl.events import CODECS, ORDERS, Kind
from sesacctl.pipeline.audit import removals
from sesacctl.pipeline.audit.removals import Removals
from sesacctl.pipeline.produce.ledger import read_ledger
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions

MOST_NAMED = 100
_CHUNK = 5_000
_PARKED, _DEAD = "parked", "dead"

Name = tuple[Kind, str]
"""A row's kind and id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerAudit:
    """Events by what the ledger says of them and what the tables have.

    Acknowledged ones are `stored`, or kept by this group: `parked` or `dead` (letters), found by their ids. Of those
    that are neither, `removed` may have gone lawfully (`Removals.explain_ids`), the others are `missing`; `doubled` are
    in their table more than once. The last two break the promise; `named` has the first hundred ids of these three.
    Events that were sent and never acknowledged may be there once or not at all. `unknown` orders are stored and in no
    ledger: proof of a fault only if these ledgers are those of all producers that ever wrote to the topic, hence only
    told.
    """

    acknowledged: int
    stored: int
    parked: int
    dead: int
    removed: int
    missing: int
    unacknowledged: int
    unacknowledged_stored: int
    doubled: int
    unknown: int
    named: list[str]


def read_ledgers(paths: Sequence[Path]) -> dict[Name, bool]:
    """Whether each event was acknowledged. In memory, about 150 bytes each.

    Raises:
        UsageError: a file cannot be read.
        CheckFailed: a file is not a ledger.
    """
    acknowledged: dict[Name, bool] = {}
    for path in paths:
        for entry in read_ledger(path):
            name = (entry.kind, entry.id)
            acknowledged[name] = acknowledged.get(name, False) or entry.acknowledged
    return acknowledged


def ledger_audit(settings: Settings, acknowledged: Mapping[Name, bool]) -> LedgerAudit:
    """Look every event of the ledgers up in its table, and what is not there among what this group keeps.

    What is neither may still be in Kafka: it is missing only if there is no lag. What another group keeps does not
    count: it says nothing of what this one did.

    Raises:
        ServerUnreachable: PostgreSQL is away.
        ServerRefused: PostgreSQL refused the login, or rights are missing.
        SchemaNotAtHead: a table or column is missing.
        DatabaseMissing: PostgreSQL has no such database.
    """
    with transaction(settings, command="audit", bound=600) as cursor:
        times = _times_stored(cursor, acknowledged)
        kept: dict[Name, str] = {}
        if absent := {name for name, acked in acknowledged.items() if acked and name not in times}:
            kept = _kept(cursor.connection, settings, absent)
            # Once more, after that look: a running consumer may have moved a parked one into its table before it.
            times |= _times_stored(cursor, absent - kept.keys())
        unknown = _unknown(cursor.connection, acknowledged)
        lawful = removals.read(cursor)
    return _result(acknowledged, times, kept, unknown, lawful)


def _result(
    acknowledged: Mapping[Name, bool],
    times: Mapping[Name, int],
    kept: Mapping[Name, str],
    unknown: int,
    lawful: Removals,
) -> LedgerAudit:
    total = Counter(acknowledged.values())
    stored = Counter(acknowledged[name] for name in times)
    states = Counter(kept.values())
    nowhere = [name for name, acked in acknowledged.items() if acked and name not in times and name not in kept]
    removed = lawful.explain_ids([row_id for kind, row_id in nowhere if kind == ORDERS], len(nowhere))
    wrong = [name for name, times_stored in times.items() if times_stored > 1] + nowhere
    return LedgerAudit(
        acknowledged=total[True],
        stored=stored[True],
        parked=states[_PARKED],
        dead=states[_DEAD],
        removed=removed,
        missing=len(nowhere) - removed,
        unacknowledged=total[False],
        unacknowledged_stored=stored[False],
        doubled=sum(each > 1 for each in times.values()),
        unknown=unknown,
        named=[" ".join(name) for name in wrong[:MOST_NAMED]],
    )


def _times_stored(cursor: extensions.cursor, names: Iterable[Name]) -> dict[Name, int]:
    """How often each is in its table; those that are not are left out."""
    ids: dict[Kind, list[str]] = {kind: [] for kind in CODECS}
    for kind, row_id in names:
        ids[kind].append(row_id)
    times: dict[Name, int] = {}
    for kind, codec in CODECS.items():
        statement = f"SELECT {codec.id_column}, count(*) FROM {kind} WHERE {codec.id_column} = ANY(%s) GROUP BY 1"
        for start in range(0, len(ids[kind]), _CHUNK):
            cursor.execute(statement, (ids[kind][start : start + _CHUNK],))
            times |= {(kind, row_id): count for row_id, count in cursor.fetchall()}
    return times


def _kept(connection: extensions.connection, settings: Settings, wanted: Container[Name]) -> dict[Name, str]:
    """Which of them the group keeps as what: in one statement, as a parked event may become a dead letter."""
    kinds = {settings.topic(kind): kind for kind in CODECS}
    found: dict[Name, str] = {}
    where = "WHERE consumer_group = %(group)s AND topic = ANY(%(topics)s)"
    # A cursor on the server: they may not fit into memory.
    with connection.cursor("kept") as cursor:
        cursor.itersize = _CHUNK
        cursor.execute(
            f"SELECT '{_PARKED}', topic, key, value FROM parked_events {where}"
            f" UNION ALL SELECT '{_DEAD}', topic, key, value FROM dead_letters {where}",
            {"group": settings.kafka_group, "topics": list(kinds)},
        )
        for state, topic, key, value in cursor:
            row_id = envelopes.find_id(kinds[topic], as_bytes(key), as_bytes(value))
            name = (kinds[topic], row_id or "")
            if name in wanted and found.get(name) != _PARKED:
                found[name] = state
    return found


def _unknown(connection: extensions.connection, known: Container[Name]) -> int:
    # A cursor on the server: the ids of all orders may not fit into memory.
    with connection.cursor("orders") as cursor:
        cursor.itersize = _CHUNK
        cursor.execute(f"SELECT {CODECS[ORDERS].id_column} FROM {ORDERS}")
        return sum((ORDERS, order_id) not in known for (order_id,) in cursor)
