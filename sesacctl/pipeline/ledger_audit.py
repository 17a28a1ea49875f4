"""Producers' ledgers held against PostgreSQL: acknowledged means stored once, sent means at most once, else never."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sesacctl.database.connections import connect, translated
from sesacctl.events import CODECS, ORDERS
from sesacctl.pipeline.deep_audit import times_stored
from sesacctl.pipeline.ledger import read_ledger
from sesacctl.settings import Settings

MOST_NAMED = 100
_CHUNK = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerAudit:
    """Events by what the ledger says of them and what the tables have.

    `missing` were acknowledged and are in no table, `doubled` are there more than once: both break the promise, and
    `named` has the first hundred ids. Events that were sent and never acknowledged may be there once or not at all.
    `unknown` orders are stored and in no ledger: proof of a fault only if these ledgers are those of all producers that
    ever wrote to the topic, hence only told.
    """

    acknowledged: int
    stored: int
    missing: int
    unacknowledged: int
    unacknowledged_stored: int
    doubled: int
    unknown: int
    named: list[str]


def ledger_audit(settings: Settings, paths: Sequence[Path]) -> LedgerAudit:
    """Look every id of the ledgers up in its table. It holds the ids in memory, about 150 bytes each.

    Raises:
        UsageError, CheckFailed: a file cannot be read, or is no ledger.
        ServerUnreachable, ServerRefused, SchemaNotAtHead
    """
    acknowledged: dict[tuple[str, str], bool] = {}
    for path in paths:
        for entry in read_ledger(path):
            key = (entry.kind, entry.id)
            acknowledged[key] = acknowledged.get(key, False) or entry.acknowledged
    totals = {True: [0, 0], False: [0, 0]}
    doubled, named = 0, []
    for (kind, name), times in _look_up(settings, list(acknowledged)):
        acked = acknowledged[kind, name]
        totals[acked][0] += 1
        totals[acked][1] += times > 0
        doubled += times > 1
        if times > 1 or (acked and not times):
            named.append(f"{kind} {name}")
            del named[MOST_NAMED:]
    return LedgerAudit(
        acknowledged=totals[True][0],
        stored=totals[True][1],
        missing=totals[True][0] - totals[True][1],
        unacknowledged=totals[False][0],
        unacknowledged_stored=totals[False][1],
        doubled=doubled,
        unknown=_unknown(settings, acknowledged),
        named=named,
    )


def _look_up(settings: Settings, keys: Sequence[tuple[str, str]]) -> Iterator[tuple[tuple[str, str], int]]:
    """How often each `(kind, id)` is in its table."""
    connection = connect(settings, command="audit", bound=600)
    try:
        with translated(settings), connection.cursor() as cursor:
            for kind in CODECS:
                ids = [name for found, name in keys if found == kind]
                for start in range(0, len(ids), _CHUNK):
                    chunk = ids[start : start + _CHUNK]
                    times = times_stored(cursor, kind, chunk)
                    yield from (((kind, name), times.get(name, 0)) for name in chunk)
    finally:
        connection.close()


def _unknown(settings: Settings, known: Container[tuple[str, str]]) -> int:
    connection = connect(settings, command="audit", bound=600)
    try:
        # A cursor on the server: the ids of all orders need not fit into memory.
        with translated(settings), connection.cursor("orders") as cursor:
            cursor.itersize = _CHUNK
            cursor.execute("SELECT order_id FROM orders")
            return sum((ORDERS, order_id) not in known for (order_id,) in cursor)
    finally:
        connection.close()
