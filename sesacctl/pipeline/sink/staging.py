"""The slow path of a step, for batches in which some row is refused: a set, and its halves down to that row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from psycopg2 import Error as PostgresError
from psycopg2 import errorcodes

from sesacctl.database import row_security
from sesacctl.database.cursors import fetch_row
from sesacctl.database.user_code import failing_function, require_no_rules
from sesacctl.events import CODECS, ORDERS, PRODUCTS, USERS, Kind, Reason
from sesacctl.pipeline.sink.batch import Entry, Refusal
from sesacctl.pipeline.sink.copy_rows import copy_rows
from sesacctl.pipeline.sink.sqlstates import Failure, classify

if TYPE_CHECKING:
    from psycopg2 import extensions

# The columns that never change: two events with one id are the same event if they agree in these.
IDENTITY = {
    ORDERS: ("user_id", "product_id", "quantity", "total_amount", "shipping_cost", "discount_amount"),
    USERS: ("name", "gender", "join_date"),
    PRODUCTS: ("name", "category", "brand"),
}
# What deferred triggers would raise at COMMIT only, where no savepoint tells the row.
RAISE_NOW = "SET CONSTRAINTS ALL IMMEDIATE"
_DETAIL_CHARACTERS = 2_000
_PARENTS_THERE = {
    ORDERS: " WHERE EXISTS (SELECT FROM users u WHERE u.user_id = s.user_id)"
    " AND EXISTS (SELECT FROM products p WHERE p.product_id = s.product_id)",
    USERS: "",
    PRODUCTS: "",
}


def write_staged(cursor: extensions.cursor, kind: Kind, entries: Sequence[Entry]) -> list[Refusal]:
    """Store what can be stored; refusals for the rest: dead, parked or duplicate. For one open transaction.

    Raises:
        psycopg2.Error: of class INFRA or STOP, or of class CODE when not the rows are to blame; nothing is to be
            committed.
        ServerRefused: a rule or row-level security stands in the way, as well.
    """
    if not entries:
        return []
    columns = ", ".join(CODECS[kind].columns)
    cursor.execute(
        f"{RAISE_NOW}; CREATE TEMP TABLE IF NOT EXISTS stage_{kind} ON COMMIT DROP"
        f" AS SELECT {columns} FROM {kind} WITH NO DATA"
    )
    broken: list[PostgresError] = []
    refusals = _write(cursor, kind, entries, broken)
    if broken and _is_to_blame(cursor, kind, broken, stored=len(entries) - len(refusals)):
        raise broken[0]
    return refusals


def _is_to_blame(cursor: extensions.cursor, kind: Kind, errors: Sequence[PostgresError], *, stored: int) -> bool:
    """Whether a trigger fails on any row, so that dead letters would be good rows: as many failed as were stored.

    A bad value may be the row's own, and a single row says nothing: then a row that was stored before is tried.
    """
    if stored and len(errors) < max(2, stored):
        return False
    certain = [error for error in errors if (error.pgcode or "")[:2] != "22"]
    if len(certain) >= 2:
        return True
    passes = _passes_again(cursor, kind, errors[0])
    return bool(certain) if passes is None else not passes


def _passes_again(cursor: extensions.cursor, kind: Kind, error: PostgresError) -> bool | None:
    """Whether a copy of a stored row can be stored under another id, or fails as `error`; None: neither."""
    key, *others = CODECS[kind].columns
    columns = ", ".join(others)
    cursor.execute("SAVEPOINT probe")
    try:
        cursor.execute(
            f"INSERT INTO {kind} ({key}, {columns}) SELECT %s, {columns} FROM {kind} LIMIT 1", (f"probe-{uuid4()}",)
        )
        passes = True if cursor.rowcount else None
    except PostgresError as other:
        if classify(other) is Failure.INFRA:
            raise
        passes = False if other.pgcode == error.pgcode else None
    cursor.execute("ROLLBACK TO SAVEPOINT probe; RELEASE SAVEPOINT probe")
    return passes


def _write(
    cursor: extensions.cursor, kind: Kind, entries: Sequence[Entry], broken: list[PostgresError]
) -> list[Refusal]:
    """All at once; where PostgreSQL refuses the set for one of its rows, each half, down to that row."""
    cursor.execute("SAVEPOINT staged")
    try:
        stored = _insert_set(cursor, kind, entries)
    except PostgresError as error:
        failure = classify(error, kind)
        if error.pgcode == errorcodes.FEATURE_NOT_SUPPORTED and failing_function(error) is None:
            cursor.execute("ROLLBACK TO SAVEPOINT staged")
            require_no_rules(cursor, (kind,))
        if failure not in (Failure.CONFLICT, Failure.DATA, Failure.PARK, Failure.CODE):
            raise
        cursor.execute("ROLLBACK TO SAVEPOINT staged; RELEASE SAVEPOINT staged")
        if len(entries) == 1:
            return [_refuse(entries[0], failure, error, broken)]
        middle = len(entries) // 2
        return _write(cursor, kind, entries[:middle], broken) + _write(cursor, kind, entries[middle:], broken)
    cursor.execute("RELEASE SAVEPOINT staged")
    return _explain_rest(cursor, kind, [entry for entry in entries if not _take(stored, _id(kind, entry))], broken)


def _refuse(entry: Entry, failure: Failure, error: PostgresError, broken: list[PostgresError]) -> Refusal:
    if failure is Failure.CODE:
        broken.append(error)
        failure = Failure.DATA
    elif failure is Failure.PARK and entry.batch.kind != ORDERS:
        failure = Failure.DATA  # a foreign key of the user's own: users and products wait for nobody
    reason = Reason.CONFLICT if failure is Failure.CONFLICT else Reason.REFUSED
    return entry.refuse(failure, reason, _words(error))


def _insert_set(cursor: extensions.cursor, kind: Kind, entries: Sequence[Entry]) -> Counter[str]:
    """The ids that were inserted."""
    columns, key = ", ".join(CODECS[kind].columns), CODECS[kind].id_column
    first: dict[str, Entry] = {}
    for entry in entries:  # the log's order is kept: a unique index of the user's own is to refuse the later one
        first.setdefault(_id(kind, entry), entry)
    cursor.execute(f"TRUNCATE stage_{kind}")
    copy_rows(cursor, kind, [[entry.row for entry in first.values()]], table=f"stage_{kind}")
    cursor.execute(
        f"INSERT INTO {kind} ({columns}) SELECT {columns} FROM stage_{kind} s{_PARENTS_THERE[kind]} ORDER BY s.ctid"
        f" ON CONFLICT {_arbiter(cursor, kind)} DO NOTHING RETURNING {key}"
    )
    return Counter(row[0] for row in cursor.fetchall())


def _arbiter(cursor: extensions.cursor, kind: Kind) -> str:
    """The index that is asked about conflicts: any, but PostgreSQL refuses to ask one that is checked at COMMIT."""
    cursor.execute(
        "SELECT EXISTS (SELECT FROM pg_index WHERE indrelid = %s::regclass AND indisunique AND NOT indimmediate)",
        (kind,),
    )
    return f"({CODECS[kind].id_column})" if fetch_row(cursor)[0] else ""


def _explain_rest(
    cursor: extensions.cursor, kind: Kind, entries: Sequence[Entry], broken: list[PostgresError]
) -> list[Refusal]:
    """Why rows were not inserted: theirs or another one is there, a parent is missing, or PostgreSQL dropped them."""
    if not entries:
        return []
    key, identity = CODECS[kind].id_column, IDENTITY[kind]
    there = _find(cursor, kind, (key, *identity), [_id(kind, entry) for entry in entries])
    refusals, absent = [], []
    for entry in entries:
        found = there.get(_id(kind, entry))
        if found is None:
            absent.append(entry)
            continue
        different = [name for name, value in zip(identity, found, strict=True) if getattr(entry.row, name) != value]
        if different:
            detail = f"{key} is taken by a row that differs in {', '.join(different)}"
            refusals.append(entry.refuse(Failure.CONFLICT, Reason.CONFLICT, detail))
        else:
            refusals.append(entry.refuse(Failure.DUPLICATE, Reason.CONFLICT, "stored before"))
    if absent:
        row_security.require_visible(cursor, tuple(CODECS))  # what is hidden is neither missing nor another row's
    orphans, others = _orphans(cursor, kind, absent)
    refusals += [entry.refuse(Failure.PARK, Reason.ORPHAN, "its user or product is not there yet") for entry in orphans]
    return refusals + _insert_plainly(cursor, kind, others, broken)


def _orphans(cursor: extensions.cursor, kind: Kind, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Those whose user or product is not in PostgreSQL, and the others."""
    if kind != ORDERS or not entries:
        return [], list(entries)
    there = {
        parent: _find(cursor, table, (parent,), [getattr(entry.row, parent) for entry in entries])
        for table, parent in ((USERS, "user_id"), (PRODUCTS, "product_id"))
    }
    split: tuple[list[Entry], list[Entry]] = [], []
    for entry in entries:
        split[all(getattr(entry.row, parent) in found for parent, found in there.items())].append(entry)
    return split


def _insert_plainly(
    cursor: extensions.cursor, kind: Kind, entries: Sequence[Entry], broken: list[PostgresError]
) -> list[Refusal]:
    """Rows that nothing seems to stand in the way of: PostgreSQL is to say what it does with them.

    A unique index of the user's own refuses a row by name; a trigger or a rule drops it without a word.
    """
    if not entries:
        return []
    columns, key = ", ".join(CODECS[kind].columns), CODECS[kind].id_column
    cursor.execute(f"TRUNCATE stage_{kind}; SAVEPOINT plain")
    copy_rows(cursor, kind, [[entry.row for entry in entries]], table=f"stage_{kind}")
    try:
        cursor.execute(f"INSERT INTO {kind} ({columns}) SELECT {columns} FROM stage_{kind} RETURNING {key}")
    except PostgresError as error:
        failure = classify(error, kind)
        if failure not in (Failure.CONFLICT, Failure.DATA, Failure.PARK, Failure.CODE):
            raise
        cursor.execute("ROLLBACK TO SAVEPOINT plain; RELEASE SAVEPOINT plain")
        if len(entries) == 1:
            return [_refuse(entries[0], failure, error, broken)]
        middle = len(entries) // 2
        first, second = entries[:middle], entries[middle:]
        return _insert_plainly(cursor, kind, first, broken) + _insert_plainly(cursor, kind, second, broken)
    stored = Counter(row[0] for row in cursor.fetchall())
    cursor.execute("RELEASE SAVEPOINT plain")
    detail = f"PostgreSQL stored nothing and raised nothing: a trigger or a rule on {kind} dropped the row"
    return [
        entry.refuse(Failure.DATA, Reason.REFUSED, detail) for entry in entries if not _take(stored, _id(kind, entry))
    ]


def _words(error: PostgresError) -> str:
    """Its code and first line, and where it came from if a function of the user's own raised it."""
    words = f"SQLSTATE {error.pgcode}: {str(error).strip().splitlines()[0]}"
    if failing_function(error) is None:
        return words
    table = f"\nTABLE: {error.diag.table_name}" if error.diag.table_name else ""
    return f"{words}{table}\nCONTEXT: {error.diag.context}"[:_DETAIL_CHARACTERS]


def _find(
    cursor: extensions.cursor, kind: Kind, columns: Sequence[str], ids: Sequence[str]
) -> dict[str, tuple[Any, ...]]:
    """Rows by their id, which is the first of the columns and left out."""
    cursor.execute(f"SELECT {', '.join(columns)} FROM {kind} WHERE {columns[0]} = ANY(%s)", (list(ids),))
    return {row[0]: row[1:] for row in cursor.fetchall()}


def _id(kind: Kind, entry: Entry) -> str:
    return CODECS[kind].id_of(entry.row)


def _take(counter: Counter[str], name: str) -> bool:
    """True, once for each time that `name` was counted."""
    counter[name] -= 1
    return counter[name] >= 0
