"""Aging: which rows a refresh takes, and starting it over.

The gate is an advisory lock, so that no row lock is taken before the rows are stamped; stamping a row does not
conflict with the key-share lock of an order that refers to it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sesacctl.cache.rows import TABLES, Table
from sesacctl.database.connections import transaction
from sesacctl.database.cursors import fetch_row
from sesacctl.events import CODECS, Kind
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions

# Any number: what matters is that all refreshes and resets of one database ask for the same lock.
GATE = 0x5E5AC_CA
RESET_BATCH = 5000
# Set inside the statement, for a round is one statement: a stopped worker must not hold the gate, nor wait for a
# forgotten transaction, without limit.
_LIMITS = {"lock_timeout": "5s", "idle_in_transaction_session_timeout": "30s"}


def refresh_statement(tables: Sequence[Table], *, size: int, fresh: int) -> str:
    """One statement that picks, stamps and returns up to `size` rows of each table.

    Of these, `fresh` are never cached and the others the oldest, topped up from either side. The first row is
    `(NULL, whether this is the only refresh now, {"now": time, table: {"fresh": count, "stamp": time}} as JSON)`, the
    others are `(table, id, JSON)`. A stamp is ahead of `now` where the clock was set back. Users who were forgotten
    have their turn as others, but are not returned.
    """
    limits = ", ".join(f"set_config('{name}', '{value}', true)" for name, value in _LIMITS.items())
    parts = [f"gate AS MATERIALIZED (SELECT pg_try_advisory_xact_lock({GATE}) AS open, {limits})"]
    parts += [_table_parts(table, size, fresh) for table in tables]
    facts = ", ".join(_facts(table) for table in tables)
    stamped = " UNION ALL ".join(
        f"SELECT '{table}', id, body FROM {table}_stamped WHERE {_is_shown(table, 'stamped')}" for table in tables
    )
    return (
        f"WITH {', '.join(parts)} SELECT NULL, open::text, json_build_object('now', now(), {facts})::text FROM gate"
        f" UNION ALL {stamped}"
    )


def _facts(table: Table) -> str:
    fresh = f"SELECT count(*) FROM {table}_picked WHERE fresh AND {_is_shown(table, 'picked')}"
    return f"'{table}', json_build_object('fresh', ({fresh}), 'stamp', (SELECT at FROM {table}_stamp))"


def _is_shown(table: Table, part: str) -> str:
    """Not those who were forgotten: nobody is to draw them. They keep their turn, so that no bound depends on them."""
    if table != "users":
        return "true"
    return f"NOT EXISTS (SELECT FROM forgotten_users f WHERE f.user_id = {table}_{part}.id)"


def _table_parts(table: Table, size: int, fresh: int) -> str:
    key = CODECS[Kind(table)].id_column
    # Constant limits: with a computed one the planner ignores the partial indexes. The stamp never falls behind the
    # newest one there is, so that a clock set back cannot put rows cached today behind those of tomorrow.
    return f"""
        {table}_fresh AS MATERIALIZED (
            SELECT {key} AS id, row_number() OVER (ORDER BY {key}) AS n FROM {table}
            WHERE last_cached_at IS NULL AND (SELECT open FROM gate) ORDER BY {key} LIMIT {size}),
        {table}_aged AS MATERIALIZED (
            SELECT {key} AS id, row_number() OVER (ORDER BY last_cached_at) AS n FROM {table}
            WHERE last_cached_at IS NOT NULL AND (SELECT open FROM gate) ORDER BY last_cached_at LIMIT {size}),
        {table}_picked AS MATERIALIZED (
            SELECT id, true AS fresh FROM {table}_fresh
            WHERE n <= greatest({fresh}, {size} - (SELECT count(*) FROM {table}_aged))
            UNION ALL
            SELECT id, false FROM {table}_aged
            WHERE n <= greatest({size - fresh}, {size} - (SELECT count(*) FROM {table}_fresh))),
        {table}_stamp AS MATERIALIZED (
            SELECT greatest(now(), max(last_cached_at) + interval '1 microsecond') AS at FROM {table}),
        {table}_stamped AS (
            UPDATE {table} AS t SET last_cached_at = (SELECT at FROM {table}_stamp)
            WHERE t.{key} = ANY (ARRAY(SELECT id FROM {table}_picked))
            RETURNING t.{key} AS id, row_to_json(t)::text AS body)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableReset:
    """Rows of one table that count as never cached from now on (or would, in a dry run)."""

    table: Table
    rows: int


def reset_aging(
    settings: Settings,
    tables: Sequence[Table] = TABLES,
    *,
    dry_run: bool = False,
    stop: threading.Event | None = None,
    on_batch: Callable[[Table, int], None] = lambda _table, _rows: None,
) -> tuple[TableReset, ...]:
    """Forget when rows were cached, in transactions of a few thousand rows each; `stop` ends it between two of them.

    Rows that a refresh stamps meanwhile keep their stamp. `on_batch` gets the number of rows of each batch.

    Raises:
        ConfigurationError: a setting of the connection is missing or wrong.
        ServerUnreachable: PostgreSQL cannot be reached.
        ServerRefused: PostgreSQL refused: wrong credentials or a missing right.
        DatabaseMissing: the server has no such database.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
        CheckFailed: a refresh or another session held the rows for too long, or was in a deadlock with this one; what
            was reset stays reset.
    """
    with transaction(settings, command="cache-reset-aging") as cursor:
        if dry_run:
            return tuple(TableReset(table=table, rows=_count(cursor, table)) for table in tables)
        return tuple(_reset_table(cursor, table, stop or threading.Event(), on_batch) for table in tables)


def _count(cursor: extensions.cursor, table: Table) -> int:
    cursor.execute(f"SELECT count(*) FROM {table} WHERE last_cached_at IS NOT NULL")
    return int(fetch_row(cursor)[0])


def _reset_table(
    cursor: extensions.cursor, table: Table, stop: threading.Event, on_batch: Callable[[Table, int], None]
) -> TableReset:
    key, total, after = CODECS[Kind(table)].id_column, 0, ""
    cursor.execute(f"SELECT max(last_cached_at) FROM {table}")
    newest = fetch_row(cursor)[0]
    cursor.connection.commit()
    while newest is not None and not stop.is_set():
        cursor.execute("SET LOCAL lock_timeout = '10s'")
        # Otherwise a refresh could stamp the same rows in another order, and one of the two would be a deadlock.
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (GATE,))
        # By key: the index on last_cached_at would lead over the dead entries of all batches before.
        cursor.execute(
            f"""
            WITH batch AS MATERIALIZED (
                SELECT {key} AS id FROM {table} WHERE {key} > %s AND last_cached_at <= %s
                ORDER BY {key} LIMIT {RESET_BATCH}),
            done AS (
                UPDATE {table} SET last_cached_at = NULL WHERE {key} = ANY (ARRAY(SELECT id FROM batch))
                RETURNING 1)
            SELECT max(id), (SELECT count(*) FROM done) FROM batch""",
            (after, newest),
        )
        after, rows = fetch_row(cursor)
        cursor.connection.commit()
        if after is None:
            break
        total += rows
        on_batch(table, rows)
    return TableReset(table=table, rows=total)
