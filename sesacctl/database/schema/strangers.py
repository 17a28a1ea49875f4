"""What stands where sesacctl's tables belong, and whose it looks like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sesacctl import formatting
from sesacctl.database.cursors import fetch_row
from sesacctl.database.models import Base
from sesacctl.errors import TablesNotOurs

if TYPE_CHECKING:
    from psycopg2 import extensions

_KINDS = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "p": "a partitioned table",
    "S": "a sequence",
    "i": "an index",
    "I": "an index",
    "c": "a type",
}
# Tables by which well-known programs keep track of their own schema.
_PROGRAMS = {
    "django_migrations": "Django",
    "ar_internal_metadata": "Rails",
    "flyway_schema_history": "Flyway",
    "databasechangelog": "Liquibase",
    "_prisma_migrations": "Prisma",
    "__EFMigrationsHistory": "Entity Framework",
    "knex_migrations": "Knex",
    "SequelizeMeta": "Sequelize",
    "typeorm_metadata": "TypeORM",
    "__drizzle_migrations": "Drizzle",
    "doctrine_migration_versions": "Doctrine",
    "goose_db_version": "goose",
}
# The revision that makes each table.
FIRST_REVISION = {
    **dict.fromkeys(("users", "products", "orders"), "0001"),
    **dict.fromkeys(("sink_offsets", "dead_letters", "parked_events"), "0004"),
    **dict.fromkeys(("log_cuts", "row_changes"), "0005"),
    "forgotten_users": "0007",
}
_FOUND = """
SELECT c.relname, c.relkind, pg_get_userbyid(c.relowner), obj_description(c.oid, 'pg_class'),
       ARRAY(SELECT attname::text FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped
              ORDER BY attnum)
  FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY(%s) ORDER BY 1
"""
# Our version table, or our users, where only the rest of search_path leads.
_ELSEWHERE = """
SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid IN (to_regclass('sesacctl_version'), to_regclass('users')) AND n.nspname <> current_schema()
   AND (c.relname = 'sesacctl_version' OR EXISTS (
        SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'last_cached_at'))
"""


def require_room(cursor: extensions.cursor, revision: str | None, *, postgres_schema: str | None) -> None:
    """Return only if the schema's tables can be made, taken over or brought up to date where the session works.

    Raises:
        TablesNotOurs: there is no schema to work in, or another program uses the name of one of our tables.
    """
    cursor.execute("SELECT current_schema(), current_setting('search_path'), current_user")
    schema, search_path, user = fetch_row(cursor)
    if schema is None or schema == "pg_catalog":
        raise _no_schema(cursor, search_path, user, postgres_schema)
    cursor.execute(_ELSEWHERE)
    if found := cursor.fetchone():
        raise TablesNotOurs(
            f"sesacctl's tables are in schema {found[0]}, but search_path ({search_path}) leads to {schema} first",
            hint=f"set POSTGRES_SCHEMA={found[0]}, then the same command again",
        )
    if problems := strangers(cursor, revision):
        raise TablesNotOurs(f"Schema {schema} is not free for sesacctl: {'; '.join(problems)}")


def _no_schema(cursor: extensions.cursor, search_path: str, user: str, postgres_schema: str | None) -> TablesNotOurs:
    if postgres_schema is None:
        return TablesNotOurs(
            f"search_path ({search_path}) names no schema that is there and that user {user} may use",
            hint="set POSTGRES_SCHEMA to the schema's name, then sesacctl db init",
        )
    cursor.execute("SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)", (postgres_schema,))
    if fetch_row(cursor)[0]:
        grant = f"GRANT USAGE ON SCHEMA {postgres_schema} TO {user}"
        return TablesNotOurs(f"User {user} may not use schema {postgres_schema}", hint=grant)
    return TablesNotOurs(f"Schema {postgres_schema} (POSTGRES_SCHEMA) does not exist", hint="sesacctl db init")


def strangers(cursor: extensions.cursor, revision: str | None) -> list[str]:
    """Sentences about foreign objects with the names of our tables; below a revision, only of those not made yet."""
    names = [name for name, first in FIRST_REVISION.items() if revision is None or first > revision]
    cursor.execute(_FOUND, (names,))
    found = [_words(*row) for row in cursor.fetchall() if revision is not None or not _is_ours(row[0], row[1], row[4])]
    if not found:
        return []
    cursor.execute(
        "SELECT relname FROM pg_class WHERE relname = ANY(%s) AND relnamespace = current_schema()::regnamespace",
        (list(_PROGRAMS),),
    )
    return found + [f"{table} beside it is {_PROGRAMS[table]}'s" for (table,) in cursor.fetchall()]


def _is_ours(name: str, kind: str, columns: list[str]) -> bool:
    """Whether a table may be sesacctl's, of any revision and with changes by hand."""
    wanted = list(Base.metadata.tables[name].columns.keys())
    return kind == "r" and wanted[0] in columns and 2 * len(set(wanted) & set(columns)) >= len(wanted)


def _words(name: str, kind: str, owner: str, comment: str | None, columns: list[str]) -> str:
    what = _KINDS.get(kind) or f"a table with {formatting.plural(len(columns), 'column')} ({', '.join(columns[:8])})"
    said = f", which says {comment!r}" if comment else ""
    return f"{name} is {what} of owner {owner}{said}"
