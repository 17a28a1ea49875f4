"""The table that holds the schema's revision; and `alembic_version`, where versions before 0006 held it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sesacctl.database import row_security
from sesacctl.database.cursors import fetch_row

if TYPE_CHECKING:
    from psycopg2 import extensions

VERSION_TABLE = "sesacctl_version"
LEGACY_TABLE = "alembic_version"
# Those that were ever written into `alembic_version`; others there are another program's.
LEGACY_REVISIONS = ("0001", "0002", "0003", "0004", "0005")
TAKE_OVER = (
    f"ALTER TABLE {LEGACY_TABLE} RENAME TO {VERSION_TABLE}",
    f"ALTER INDEX IF EXISTS {LEGACY_TABLE}_pkc RENAME TO {VERSION_TABLE}_pkc",
)

_PRESENT = """
SELECT to_regclass('sesacctl_version') IS NOT NULL,
       EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass('alembic_version') AND attname = 'version_num'
                  AND has_table_privilege(attrelid, 'SELECT')),
       (SELECT count(*) = 2 FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
         WHERE attrelid = to_regclass('users') AND relkind = 'r' AND attname IN ('user_id', 'last_cached_at')
           AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = to_regclass('alembic_version')))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """The database's revision, None without one.

    `is_legacy`: it stands in `alembic_version`. `foreign`: what that table holds where it is another program's.
    """

    revision: str | None
    is_legacy: bool = False
    foreign: str | None = None


def read(cursor: extensions.cursor) -> Revision:
    """The revision, from `sesacctl_version`, or from an `alembic_version` with one of our revisions beside our `users`.

    Raises:
        ServerRefused: row-level security may hide it.
    """
    cursor.execute(_PRESENT)
    present, legacy_present, beside_users = fetch_row(cursor)
    legacy = _versions(cursor, LEGACY_TABLE) if legacy_present else []
    is_ours = len(legacy) == 1 and legacy[0] in LEGACY_REVISIONS and beside_users
    foreign = ", ".join(legacy) or None
    if present:
        own = _versions(cursor, VERSION_TABLE)
        if not own:
            row_security.require_visible(cursor, (VERSION_TABLE,))  # a hidden revision is not a missing one
        return Revision(revision=own[0] if own else None, foreign=foreign)
    if is_ours:
        return Revision(revision=legacy[0], is_legacy=True)
    return Revision(revision=None, foreign=foreign)


def _versions(cursor: extensions.cursor, table: str) -> list[str]:
    cursor.execute(f"SELECT version_num::text FROM {table} ORDER BY 1")
    return [str(row[0]) for row in cursor.fetchall()]
