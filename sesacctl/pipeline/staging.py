"""The slow path of a step, for batches in which some row is refused: a set, and its halves down to that row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from psycopg2 import Error as PostgresError

from sesacctl.events import CODECS, ORDERS, PRODUCTS, USERS, Reason
from sesacctl.pipeline.batch import Entry, Refusal
from sesacctl.pipeline.copy_text import copy_rows
from sesacctl.pipeline.failures import Failure, classify

# The columns that never change: two events with one id are the same event if they agree in these.
IDENTITY = {
    ORDERS: ("user_id", "product_id", "quantity", "total_amount", "shipping_cost", "discount_amount"),
    USERS: ("name", "gender", "join_date"),
    PRODUCTS: ("name", "category", "brand"),
}
_PARENTS_THERE = {
    ORDERS: " WHERE EXISTS (SELECT FROM users u WHERE u.user_id = s.user_id)"
    " AND EXISTS (SELECT FROM products p WHERE p.product_id = s.product_id)",
    USERS: "",
    PRODUCTS: "",
}


def write_staged(cursor: Any, kind: str, entries: Sequence[Entry]) -> list[Refusal]:
    """Store what can be stored; refusals for the rest: dead, parked or duplicate. For one open transaction.

    Raises:
        psycopg2.Error: of class INFRA or STOP; nothing is to be committed.
    """
    if not entries:
        return []
    columns = ", ".join(CODECS[kind].columns)
    cursor.execute(
        f"CREATE TEMP TABLE IF NOT EXISTS stage_{kind} ON COMMIT DROP AS SELECT {columns} FROM {kind} WITH NO DATA"
    )
    return _write(cursor, kind, entries)


def _write(cursor: Any, kind: str, entries: Sequence[Entry]) -> list[Refusal]:
    """All at once; where PostgreSQL refuses the set for one of its rows, each half, down to that row."""
    cursor.execute("SAVEPOINT staged")
    try:
        stored = _insert_set(cursor, kind, entries)
    except PostgresError as error:
        failure = classify(error)
        if failure not in (Failure.DATA, Failure.PARK):
            raise
        cursor.execute("ROLLBACK TO SAVEPOINT staged; RELEASE SAVEPOINT staged")
        if len(entries) == 1:
            message = str(error).strip().splitlines()[0]
            return [entries[0].refuse(failure, Reason.REFUSED, f"SQLSTATE {error.pgcode}: {message}")]
        middle = len(entries) // 2
        return _write(cursor, kind, entries[:middle]) + _write(cursor, kind, entries[middle:])
    cursor.execute("RELEASE SAVEPOINT staged")
    return _explain_rest(cursor, kind, [entry for entry in entries if not _take(stored, _id(kind, entry))])


def _insert_set(cursor: Any, kind: str, entries: Sequence[Entry]) -> Counter[str]:
    """The ids that were inserted."""
    columns, key = ", ".join(CODECS[kind].columns), _key(kind)
    first = {_id(kind, entry): entry for entry in reversed(entries)}
    cursor.execute(f"TRUNCATE stage_{kind}")
    copy_rows(cursor, kind, [entry.row for entry in first.values()], table=f"stage_{kind}")
    cursor.execute(
        f"INSERT INTO {kind} ({columns}) SELECT {columns} FROM stage_{kind} s{_PARENTS_THERE[kind]}"
        f" ON CONFLICT DO NOTHING RETURNING {key}"
    )
    return Counter(row[0] for row in cursor.fetchall())


def _explain_rest(cursor: Any, kind: str, entries: Sequence[Entry]) -> list[Refusal]:
    """Why rows were not inserted: the same row is there, another row is there, or a parent is missing."""
    if not entries:
        return []
    key, identity = _key(kind), IDENTITY[kind]
    cursor.execute(
        f"SELECT {key}, {', '.join(identity)} FROM {kind} WHERE {key} = ANY(%s)",
        ([_id(kind, entry) for entry in entries],),
    )
    there = {row[0]: row[1:] for row in cursor.fetchall()}
    refusals = []
    for entry in entries:
        found = there.get(_id(kind, entry))
        if found is None:
            refusals.append(entry.refuse(Failure.PARK, Reason.ORPHAN, "its user or product is not there yet"))
            continue
        different = [name for name, value in zip(identity, found, strict=True) if getattr(entry.row, name) != value]
        if different:
            detail = f"{key} is taken by a row that differs in {', '.join(different)}"
            refusals.append(entry.refuse(Failure.CONFLICT, Reason.CONFLICT, detail))
        else:
            refusals.append(entry.refuse(Failure.DUPLICATE, Reason.CONFLICT, "stored before"))
    return refusals


def _key(kind: str) -> str:
    return CODECS[kind].columns[0]


def _id(kind: str, entry: Entry) -> str:
    return str(getattr(entry.row, _key(kind)))


def _take(counter: Counter[str], name: str) -> bool:
    """True, once for each time that `name` was counted."""
    counter[name] -= 1
    return counter[name] >= 0
