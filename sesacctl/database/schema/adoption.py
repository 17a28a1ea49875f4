"""Takes over tables that an older version made with `create_all`, at the revision whose tables they equal."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text

from sesacctl.database.schema import revisions
from sesacctl.database.schema.version_table import LEGACY_TABLE, VERSION_TABLE
from sesacctl.errors import SchemaNotAtHead

if TYPE_CHECKING:
    from psycopg2 import extensions

logger = logging.getLogger(__name__)

_SCRATCH = "sesacctl_adoption"
# Those that the first revision makes.
FIRST_TABLES = ("users", "products", "orders")
# One line per column, key, index and storage parameter of the current schema's tables.
_SHAPE = """
WITH tables AS (
    SELECT oid, relname, reloptions FROM pg_class WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace
)
SELECT relname, 'column ' || attname || ' ' || format_type(atttypid, atttypmod)
       || CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END
  FROM tables JOIN pg_attribute ON attrelid = oid WHERE attnum > 0 AND NOT attisdropped
UNION ALL
SELECT relname, pg_get_constraintdef(c.oid) FROM tables t JOIN pg_constraint c ON conrelid = t.oid
 WHERE contype IN ('p', 'f', 'u')
UNION ALL
SELECT relname, replace(pg_get_indexdef(indexrelid), 'ON ' || current_schema() || '.', 'ON ')
  FROM tables JOIN pg_index ON indrelid = oid
 WHERE NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
UNION ALL
SELECT relname, 'with ' || unnest(reloptions) FROM tables
"""

Shape = frozenset[tuple[str, str]]


def adopt(connection: Connection) -> str | None:
    """Stamp tables without a revision with the newest one that they equal; None if there is nothing to take over.

    The caller commits. Errors as `find_revision`.
    """
    revision = find_revision(connection)
    if revision is not None:
        options = {"version_table": VERSION_TABLE}
        MigrationContext.configure(connection, opts=options).stamp(revisions.scripts(), revision)
        logger.info("existing tables taken over", extra={"action": "schema.adopted", "revision": revision})
    return revision


def find_revision(connection: Connection) -> str | None:
    """The newest revision that tables without one equal; None if there is nothing to take over.

    The user's own indexes and other tables do not count as differences. Needs the right to create a schema
    for a moment.

    Raises:
        SchemaNotAtHead: they equal none; names the differences to the nearest one.
    """
    for statement in revisions.lock_statements(revisions.LOCK_SECONDS):
        connection.execute(text(statement))
    raw = cast("extensions.connection", connection.connection.driver_connection)
    found = _shape(connection)
    if revisions.current(raw) is not None or not any(table in FIRST_TABLES for table, _ in found):
        return None
    known = _revisions(connection)
    ours = frozenset[tuple[str, str]]().union(*known.values())
    tables = {table for table, _ in ours}
    found = frozenset(line for line in found if line in ours or (line[0] in tables and not _is_index(line)))
    for revision, wanted in reversed(known.items()):
        if found == wanted:
            return revision
    raise _differs(found, known)


def _is_index(line: tuple[str, str]) -> bool:
    return line[1].startswith(("CREATE INDEX", "CREATE UNIQUE INDEX"))


def _shape(connection: Connection) -> Shape:
    rows = connection.execute(text(_SHAPE)).all()
    return frozenset((table, line) for table, line in rows if table not in (VERSION_TABLE, LEGACY_TABLE))


def _revisions(connection: Connection) -> dict[str, Shape]:
    """Each revision's shape, oldest first: made in a schema of their own, and rolled back."""
    shapes = {}
    with connection.begin_nested() as scratch:
        connection.execute(text(f"CREATE SCHEMA {_SCRATCH}"))
        connection.execute(text(f"SET LOCAL search_path TO {_SCRATCH}"))
        for revision in revisions.revisions():
            revisions.run_on(connection, "upgrade", revision)
            shapes[revision] = _shape(connection)
        scratch.rollback()
    return shapes


def _differs(found: Shape, revisions: dict[str, Shape]) -> SchemaNotAtHead:
    revision, wanted = min(revisions.items(), key=lambda item: len(item[1] ^ found))
    differences = [f"missing: {table} {line}" for table, line in sorted(wanted - found)]
    differences += [f"unexpected: {table} {line}" for table, line in sorted(found - wanted)]
    return SchemaNotAtHead(
        f"The tables have no revision and match none; against revision {revision}: {'; '.join(differences)}",
        hint="make the tables match, then sesacctl db init; nothing was changed",
    )
