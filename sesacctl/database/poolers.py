"""Poolers in transaction mode, by what they do: a connection's next transaction may be another backend's."""

from __future__ import annotations

from contextlib import closing, suppress

from psycopg2 import Error as PostgresError
from psycopg2.extensions import connection as Connection  # noqa: N812

from sesacctl.database.connections import connect
from sesacctl.database.cursors import fetch_row
from sesacctl.database.location import locate
from sesacctl.errors import ConfigurationError, DatabaseMissing, ServerUnreachable
from sesacctl.settings import DbType, Settings

_TRIES = 3
_SECONDS = 4.0
_DIRECTLY = {
    DbType.LOCAL: "set POSTGRES_HOST and POSTGRES_PORT to PostgreSQL's own",
    DbType.SUPABASE: "set SUPABASE_DIRECT_URL to the direct address, or to the session pooler's, port 5432",
    DbType.RDS: "set RDS_HOST and RDS_PORT to the instance's own",
}


def is_transaction_pooler(settings: Settings) -> bool:
    """Whether session state is lost between two transactions; False also where it cannot be found out.

    Costs a connection, and behind a pooler of any mode up to four.

    Raises:
        ConfigurationError: a variable is missing or wrong.
        ServerRefused: the server answered and refused.
    """
    if locate(settings).is_transaction_pooler:
        return True
    with suppress(ServerUnreachable, DatabaseMissing, PostgresError):
        return _changes_backends(settings)
    return False


def require_sessions(settings: Settings) -> None:
    """Return only if nothing is known that would keep session state from lasting.

    Raises:
        ConfigurationError: it is a transaction pooler, or a variable is missing or wrong.
        ServerRefused: the server answered and refused.
    """
    if is_transaction_pooler(settings):
        location = locate(settings)
        port = f"Port {location.port} of {location.host}"
        raise ConfigurationError(
            f"{port} is a transaction pooler, which cannot run migrations", hint=_DIRECTLY[settings.db_type]
        )


def _changes_backends(settings: Settings) -> bool:
    with closing(connect(settings, command="db-check", bound=_SECONDS)) as first:
        first.autocommit = True
        seen = {_backend(first)}
        # A pooler makes the number up by which its clients cancel statements.
        if seen == {first.get_backend_pid()}:
            return False
        for _ in range(_TRIES):
            with closing(connect(settings, command="db-check", bound=_SECONDS)) as second:
                # In a transaction, which ends with the connection: it keeps the backend that it has got.
                other = _backend(second)
                if other in seen:
                    return True
                seen.add(_backend(first))
                if len(seen) > 1:
                    return True
    return False


def _backend(connection: Connection) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(fetch_row(cursor)[0])
