"""Connections that name their command, notice a dead server, and speak of errors in the user's words."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, Concatenate, ParamSpec, TypeVar

import psycopg2
import stamina
from psycopg2 import extensions
from psycopg2.extras import register_uuid

from sesacctl.database import refusals
from sesacctl.database.cursors import fetch_row
from sesacctl.database.deadline import deadline
from sesacctl.database.location import locate
from sesacctl.database.refusals import to_sesacctl_error
from sesacctl.database.search_path import connect_in
from sesacctl.errors import DatabaseMissing, SchemaNotAtHead, ServerUnreachable
from sesacctl.settings import DbType, Settings

__all__ = [
    "connect",
    "read_row",
    "require_writable",
    "to_sesacctl_error",
    "transaction",
    "translate_errors",
    "wait_until_ready",
    "warn_of_unverified_host",
]

logger = logging.getLogger(__name__)
T = TypeVar("T")
P = ParamSpec("P")

register_uuid()  # topic ids, as values and in rows

# `localhost` may be two addresses, each tried for this long: a one-shot command gives up within ten seconds.
CONNECT_SECONDS = 4
STATEMENT_SECONDS = 30.0
SOCKET = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
# The same on the server's side: a host that is cut off would keep its rows locked for two hours, as a backend that
# waits for COPY data has no timeout of its own.
_SERVER_SOCKET = "SELECT " + ", ".join(
    f"set_config('{name}', '{value}', false)"
    for name, value in {
        "tcp_keepalives_idle": SOCKET["keepalives_idle"],
        "tcp_keepalives_interval": SOCKET["keepalives_interval"],
        "tcp_keepalives_count": SOCKET["keepalives_count"],
        "tcp_user_timeout": SOCKET["tcp_user_timeout"],
    }.items()
)


def _bounded(method: Callable[Concatenate[extensions.cursor, P], T]) -> Callable[Concatenate[_Cursor, P], T]:
    def call(self: _Cursor, /, *args: P.args, **keywords: P.kwargs) -> T:
        with deadline(self.connection, self.connection.bound):
            return method(self, *args, **keywords)

    return call


class _Cursor(extensions.cursor):
    """Every wait for the server is bounded by the connection's `bound`."""

    connection: _Connection

    execute = _bounded(extensions.cursor.execute)
    executemany = _bounded(extensions.cursor.executemany)
    copy_expert = _bounded(extensions.cursor.copy_expert)


class _Connection(extensions.connection):
    bound = STATEMENT_SECONDS

    def __init__(self, dsn: str) -> None:
        super().__init__(dsn)
        self.cursor_factory = _Cursor

    def commit(self) -> None:
        with deadline(self, self.bound):
            super().commit()

    def rollback(self) -> None:
        with deadline(self, self.bound):
            super().rollback()


def connect(settings: Settings, *, command: str, bound: float = STATEMENT_SECONDS) -> extensions.connection:
    """A psycopg2 connection, for COPY; each statement, COPY and commit on it is cut after `bound` seconds.

    Raises:
        ConfigurationError: a setting of the connection is missing or wrong.
        ServerUnreachable: PostgreSQL cannot be reached.
        ServerRefused: PostgreSQL refused: wrong credentials or a missing right.
        DatabaseMissing: the server has no such database.
    """
    location = locate(settings)
    if settings.db_type is DbType.RDS and not settings.rds_sslrootcert:
        warn_of_unverified_host()
    parameters = {
        **location.parameters,
        **SOCKET,
        "application_name": f"sesacctl/{command}",
        "client_encoding": "utf8",
        "connect_timeout": CONNECT_SECONDS,
    }

    def open_connection(more: Mapping[str, Any]) -> _Connection:
        try:
            opened: _Connection = psycopg2.connect(connection_factory=_Connection, **{**parameters, **more})
        except UnicodeDecodeError as error:  # of what was said: by another program, or in the server's own language
            raise psycopg2.OperationalError(bytes(error.object).decode(errors="backslashreplace")) from None
        return opened

    with translate_errors(settings):
        connection = connect_in(settings.postgres_schema, location, open_connection)
        connection.bound = bound
        if location.uses_tcp and not location.is_transaction_pooler:
            _notice_our_end(connection)
    return connection


def _notice_our_end(connection: _Connection) -> None:
    """Have the server close the session when this host is gone; behind a pooler, when the pooler is."""
    try:
        connection.autocommit = True  # one round trip, and kept whatever becomes of the first transaction
        with connection.cursor() as cursor:
            cursor.execute(_SERVER_SOCKET)
        connection.autocommit = False
    except BaseException:
        connection.close()
        raise


@contextmanager
def transaction(
    settings: Settings, *, command: str, bound: float = STATEMENT_SECONDS, commit: bool = False
) -> Iterator[extensions.cursor]:
    """A cursor in a transaction on a connection of its own; with `commit` it is committed at the end, else undone.

    The connection is the cursor's `connection`: for more cursors, or to commit on the way. `bound` as in `connect`.

    Raises:
        ConfigurationError: a setting of the connection is missing or wrong.
        ServerUnreachable: PostgreSQL cannot be reached.
        ServerRefused: PostgreSQL refused: wrong credentials or a missing right.
        DatabaseMissing: the server has no such database.
        SchemaNotAtHead: a table or column of the query does not exist.
    """
    connection = connect(settings, command=command, bound=bound)
    try:
        with translate_errors(settings), connection.cursor() as cursor:
            yield cursor
            if commit:
                connection.commit()
    finally:
        connection.close()


def read_row(settings: Settings, statement: str, values: Sequence[object], *, command: str) -> tuple[Any, ...]:
    """The only row of a query, over a connection of its own; errors as `transaction`."""
    with transaction(settings, command=command) as cursor:
        cursor.execute(statement, values)
        return fetch_row(cursor)


def require_writable(connection: extensions.connection, settings: Settings) -> None:
    """Return only if the server takes writes; ends the connection's transaction.

    Raises:
        ServerUnreachable: it is a standby, or its transactions are read-only, as on a full disk of Supabase's.
    """
    with translate_errors(settings), connection, connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('transaction_read_only') = 'on', pg_is_in_recovery()")
        read_only, standby = fetch_row(cursor)
    if read_only:
        raise refusals.read_only("it is a standby" if standby else "default_transaction_read_only is on", settings)


def wait_until_ready(ready: Callable[[], T], *, seconds: float) -> T:
    """The result of `ready`, tried again until it works or `seconds` are over; then its last error.

    A server that is away, a missing database and a schema that somebody else is migrating are waited for.
    """
    retried = (ServerUnreachable, DatabaseMissing, SchemaNotAtHead)
    for attempt in stamina.retry_context(on=retried, attempts=None, timeout=seconds, wait_initial=0.1, wait_max=1.0):
        with attempt:
            return ready()
    raise AssertionError("stamina raises the last error")


@cache
def warn_of_unverified_host() -> None:
    """Once a process."""
    logger.warning(
        "TLS is on, but without RDS_SSLROOTCERT the server's certificate is not verified",
        extra={"action": "database.tls_unverified"},
    )


@contextmanager
def translate_errors(settings: Settings) -> Iterator[None]:
    """Raise PostgreSQL's errors as ours; what the user cannot fix passes unchanged."""
    try:
        yield
    except Exception as error:
        cause = getattr(error, "orig", error)  # SQLAlchemy wraps psycopg2's error, and is not imported for that here
        ours = to_sesacctl_error(cause, settings) if isinstance(cause, psycopg2.Error) else None
        if ours is None:
            raise
        raise ours from error
