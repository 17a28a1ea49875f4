"""Connections that work in `POSTGRES_SCHEMA`, also behind a pooler that passes no session settings on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import psycopg2
from psycopg2 import extensions

from sesacctl.database.cursors import fetch_row
from sesacctl.database.location import Location
from sesacctl.errors import ConfigurationError

# PgBouncer, which would have to set it again before each transaction.
_NOT_PASSED_ON = re.compile(r"unsupported startup parameter", re.IGNORECASE)

C = TypeVar("C", bound=extensions.connection)
Open = Callable[[Mapping[str, Any]], C]


def connect_in(schema: str | None, location: Location, open_connection: Open[C]) -> C:
    """A connection whose `search_path` is `schema` alone; without a schema, what the server's own says.

    `open_connection` takes libpq's parameters that are to replace the location's.

    Raises:
        ConfigurationError: a pooler does not pass it on, and the server's own `search_path` is another;
        psycopg2.Error: as `open_connection`.
    """
    if schema is None:
        return open_connection({})
    connection = _open(schema, location, open_connection)
    try:
        _require(connection, schema, location)
    except BaseException:
        connection.close()
        raise
    return connection


def _open(schema: str, location: Location, open_connection: Open[C]) -> C:
    if location.is_transaction_pooler:
        return open_connection({})
    options = f'{location.options.get("options", "")} -c search_path="{schema}"'.strip()
    try:
        return open_connection({"options": options})
    except psycopg2.OperationalError as error:
        if not _NOT_PASSED_ON.search(str(error)):
            raise
    return open_connection({})


def _require(connection: extensions.connection, schema: str, location: Location) -> None:
    connection.autocommit = True  # one round trip, and no transaction left open
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('search_path'), current_schema()")
        search_path, current = fetch_row(cursor)
    connection.autocommit = False
    # The first is ours, also where the schema does not exist yet; the second may be set for the role.
    if search_path.strip('"') != schema and current != schema:
        raise ConfigurationError(
            f"POSTGRES_SCHEMA is {schema}, but the pooler at {location.address} does not pass search_path on,"
            f" and the one of user {location.user} is {search_path}",
            hint=f"ALTER ROLE {location.user} IN DATABASE {location.database} SET search_path = {schema},"
            " and let the pooler connect again; or connect without the pooler",
        )
