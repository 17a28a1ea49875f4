"""Reading rows with psycopg2's cursors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg2 import extensions


def as_bytes(value: memoryview | None) -> bytes | None:
    """A bytea column as bytes; NULL stays None."""
    return None if value is None else bytes(value)


def fetch_row(cursor: extensions.cursor) -> tuple[Any, ...]:
    """The next row of a query that must have one.

    Raises:
        LookupError: there is none.
    """
    row = cursor.fetchone()
    if row is None:
        raise LookupError("the query has no row")
    return row
