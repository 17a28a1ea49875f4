"""Times without a zone that an old database has: only the user knows in which zone they were written."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sesacctl.database.cursors import fetch_row
from sesacctl.errors import UsageError

if TYPE_CHECKING:
    from psycopg2 import extensions

# Of revision 0001; revision 0002 gives them a zone.
_COLUMNS = (
    ("users", "last_cached_at"),
    ("users", "created_at"),
    ("products", "last_cached_at"),
    ("products", "created_at"),
    ("orders", "created_at"),
)
_WITHOUT_ZONE = """
SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
 WHERE attrelid IN (to_regclass('users'), to_regclass('products'), to_regclass('orders')) AND relkind = 'r'
   AND atttypid = 'timestamp'::regtype AND attname IN ('last_cached_at', 'created_at') AND NOT attisdropped
"""


def columns_without_zone(cursor: extensions.cursor) -> tuple[str, ...]:
    """Our columns of type TIMESTAMP in which there is a value, as `table.column`."""
    cursor.execute(_WITHOUT_ZONE)
    present = set(cursor.fetchall())
    return tuple(
        f"{table}.{column}"
        for table, column in _COLUMNS
        if (table, column) in present and _has_value(cursor, table, column)
    )


def _has_value(cursor: extensions.cursor, table: str, column: str) -> bool:
    cursor.execute(f"SELECT EXISTS (SELECT FROM {table} WHERE {column} IS NOT NULL)")
    return bool(fetch_row(cursor)[0])


def require_zone(columns: tuple[str, ...], zone: str | None, *, server_zone: str, command: str) -> None:
    """Return only if it is known in which zone the columns' times were written.

    Raises:
        UsageError: the zone was not given, or does not exist.
    """
    if zone is not None:
        check_zone(zone)
    elif columns:
        raise UsageError(
            f"{', '.join(columns)}: times without a zone, and only you know in which zone they were written"
            f" (PostgreSQL would take {server_zone})",
            hint=f"sesacctl {command} --timestamps-in {server_zone}, or Asia/Seoul; with --dry-run to look first",
        )


def check_zone(name: str) -> None:
    """Return only for a name of the IANA database.

    Raises:
        UsageError: there is no such zone.
    """
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise UsageError(
            f"--timestamps-in: {name} is not the name of a time zone", hint="a name such as UTC or Asia/Seoul"
        ) from None
