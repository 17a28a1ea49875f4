"""Connections that name their command, notice a dead server, and speak of errors in the user's words."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import psycopg2
import stamina
from psycopg2 import errorcodes, extensions

from sesacctl.database.deadline import NoAnswer, deadline
from sesacctl.database.location import locate
from sesacctl.database.user_code import name_failing
from sesacctl.errors import (
    CheckFailed,
    DatabaseMissing,
    SchemaNotAtHead,
    ServerRefused,
    ServerUnreachable,
    SesacctlError,
)
from sesacctl.settings import DbType, Settings

logger = logging.getLogger(__name__)
T = TypeVar("T")

# `localhost` may be two addresses, each tried for this long: a one-shot command gives up within ten seconds.
CONNECT_SECONDS = 4
STATEMENT_SECONDS = 30.0
_SOCKET = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
_HOST_VARIABLE = {
    DbType.LOCAL: "POSTGRES_HOST and POSTGRES_PORT",
    DbType.SUPABASE: "SUPABASE_DIRECT_URL",
    DbType.RDS: "RDS_HOST and RDS_PORT",
}
_USER_VARIABLE = {
    DbType.LOCAL: "POSTGRES_USER and POSTGRES_PASSWORD",
    DbType.SUPABASE: "SUPABASE_PASSWORD",
    DbType.RDS: "RDS_USER and RDS_PASSWORD",
}
_TLS_VARIABLE = {
    DbType.LOCAL: "PGSSLMODE and PGSSLROOTCERT",  # libpq's own: nothing of ours stands in their place
    DbType.SUPABASE: "SUPABASE_DIRECT_URL",
    DbType.RDS: "RDS_HOST and RDS_SSLROOTCERT",
}
# A failed connection attempt has no SQLSTATE in psycopg2, only the server's words.
_AUTHENTICATION = re.compile(
    r"authentication failed|no pg_hba\.conf entry|role \".*\" (does not exist|is not permitted)|no password supplied"
    r"|password is required|SASL|Tenant or user not found|no such user",
    re.IGNORECASE,
)
# libpq names the address once more, and asks what our hint answers.
_LIBPQ = re.compile(r"connection to server (?:at|on) .*? failed: (?:FATAL: +)?|Is the server running [^?]*\?")
# A dropped connection is told by "SSL" too: only what comes back at every try is a refusal. The texts are those of
# fe-secure-openssl.c, fe-secure-common.c and fe-connect.c of PostgreSQL 15 to 18; after "SSL error:" come OpenSSL's.
_TLS_REFUSED = re.compile(
    r"certificate|private key file|private SSL key|sslrootcert|does not support SSL"
    r"|SSL connection is required|SSL required|channel binding|unknown ca\b|verified SSL connection|ALPN"
    r"|wrong version number|unsupported protocol|protocol version|no protocols available|no application protocol"
    r"|handshake failure|no shared cipher|no cipher|no suitable|insufficient security|unsafe legacy renegotiation"
    r"|key too small|md too weak|illegal parameter|unrecognized name|(?:minimum|maximum) SSL protocol",
    re.IGNORECASE,
)
_UNKNOWN_HOST = re.compile(r"could not translate host name", re.IGNORECASE)
# Of the server and the session, wherever they come up.
_NOT_THE_FUNCTION = ("08", "28", "40", "53", "57")
_BY_CODE_ANYWHERE = (
    errorcodes.INSUFFICIENT_PRIVILEGE,
    errorcodes.LOCK_NOT_AVAILABLE,
    errorcodes.READ_ONLY_SQL_TRANSACTION,
)
_NO_DATABASE = re.compile(r"database \".*\" does not exist|no such database", re.IGNORECASE)


class _Cursor(extensions.cursor):  # type: ignore[misc]  # psycopg2 has no types
    """Every wait for the server is bounded by the connection's `bound`."""

    def execute(self, query: Any, vars: Any = None) -> None:
        with deadline(self.connection, self.connection.bound):
            super().execute(query, vars)

    def executemany(self, query: Any, vars_list: Any) -> None:
        with deadline(self.connection, self.connection.bound):
            super().executemany(query, vars_list)

    def copy_expert(self, sql: Any, file: Any, size: int = 8192) -> None:
        with deadline(self.connection, self.connection.bound):
            super().copy_expert(sql, file, size)


class _Connection(extensions.connection):  # type: ignore[misc]  # psycopg2 has no types
    bound = STATEMENT_SECONDS

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
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
        ConfigurationError, ServerUnreachable, ServerRefused, DatabaseMissing.
    """
    location = locate(settings)
    if settings.db_type is DbType.RDS and not settings.rds_sslrootcert:
        warn_of_unverified_host()
    with translated(settings):
        connection = psycopg2.connect(
            connection_factory=_Connection,
            **{
                **location.parameters,
                **_SOCKET,
                "application_name": f"sesacctl/{command}",
                "client_encoding": "utf8",
                "connect_timeout": CONNECT_SECONDS,
            },
        )
    connection.bound = bound
    return connection


def read_row(settings: Settings, statement: str, values: Sequence[Any], *, command: str) -> tuple[Any, ...]:
    """The only row of a query, over a connection of its own.

    Raises:
        As `connect` and `translated`.
    """
    connection = connect(settings, command=command)
    try:
        with translated(settings), connection.cursor() as cursor:
            cursor.execute(statement, values)
            row: tuple[Any, ...] = cursor.fetchone()
            return row
    finally:
        connection.close()


def wait_until(ready: Callable[[], T], *, seconds: float) -> T:
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
        "TLS is on, but without RDS_SSLROOTCERT nobody checks that the server is the right one",
        extra={"action": "database.tls_unverified"},
    )


@contextmanager
def translated(settings: Settings) -> Iterator[None]:
    """PostgreSQL's errors, raised as ours; what is not the user's to mend passes unchanged."""
    try:
        yield
    except Exception as error:
        cause = getattr(error, "orig", error)  # SQLAlchemy wraps psycopg2's error, and is not imported for that here
        ours = as_ours(cause, settings) if isinstance(cause, psycopg2.Error) else None
        if ours is None:
            raise
        raise ours from error


def as_ours(error: psycopg2.Error, settings: Settings) -> SesacctlError | None:
    """The error in the user's words, by its SQLSTATE; None if it is none of the user's."""
    text = _LIBPQ.sub("", " ".join(str(error).split())).strip()
    if error.pgcode is None:
        return _without_code(error, text, settings)
    return _by_code(error.pgcode, text, settings) if _is_ours(error) else _by_user_code(error, text, settings)


def _is_ours(error: psycopg2.Error) -> bool:
    """Whether the schema and the server are to blame, and not a function that somebody else wrote."""
    return name_failing(error) is None or error.pgcode[:2] in _NOT_THE_FUNCTION or error.pgcode in _BY_CODE_ANYWHERE


def _by_user_code(error: psycopg2.Error, text: str, settings: Settings) -> ServerRefused:
    name = name_failing(error)
    return ServerRefused(
        f"PostgreSQL at {locate(settings).address} refused: {name} of its owner failed"
        f" (SQLSTATE {error.pgcode}): {text}",
        hint=f"mend {name}, or drop the trigger that calls it; then the same command again",
    )


def _by_code(code: str, text: str, settings: Settings) -> SesacctlError | None:
    location = locate(settings)
    server = f"PostgreSQL at {location.address}"
    if code[:2] == "28" or code == errorcodes.INSUFFICIENT_PRIVILEGE:
        return ServerRefused(f"{server} refused: {text}", hint=f"set {_USER_VARIABLE[settings.db_type]}")
    if code in (errorcodes.UNDEFINED_TABLE, errorcodes.UNDEFINED_COLUMN):
        return SchemaNotAtHead(f"The tables in {location.database} are not what this sesacctl was made for: {text}")
    if code in (errorcodes.LOCK_NOT_AVAILABLE, errorcodes.QUERY_CANCELED):
        return CheckFailed(f"{server} gave up waiting: {text}", hint="the same command again, when the other is done")
    if code[:2] == "40":
        return CheckFailed(
            f"{server}: another session changed the same rows in another order: {text}", hint="the same command again"
        )
    if code[:2] in ("08", "53", "57") or code == errorcodes.READ_ONLY_SQL_TRANSACTION:
        return ServerUnreachable(f"{server} cannot work now: {text}", hint=_reach_hint(settings))
    return None


def _without_code(error: psycopg2.Error, text: str, settings: Settings) -> SesacctlError | None:
    location = locate(settings)
    server = f"PostgreSQL at {location.address}"
    if isinstance(error, NoAnswer):
        return ServerUnreachable(f"{server} gave {text}", hint=_reach_hint(settings))
    if _NO_DATABASE.search(text):
        return DatabaseMissing(f"Database {location.database} does not exist on {server}")
    if _AUTHENTICATION.search(text):
        return ServerRefused(
            f"{server} refused the authentication of user {location.user}: {text}",
            hint=f"set {_USER_VARIABLE[settings.db_type]}",
        )
    if _TLS_REFUSED.search(text) and not _UNKNOWN_HOST.search(text):
        return ServerRefused(
            f"{server} offers no TLS that can be trusted: {text}", hint=f"set {_TLS_VARIABLE[settings.db_type]}"
        )
    # A bare DatabaseError is what psycopg2 makes of a connection that ends in the middle of COPY.
    if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError) or type(error) is psycopg2.DatabaseError:
        return ServerUnreachable(f"{server} cannot be reached: {text}", hint=_reach_hint(settings))
    return None


def _reach_hint(settings: Settings) -> str:
    up = "sesacctl up, or " if settings.db_type is DbType.LOCAL else ""
    return f"{up}set {_HOST_VARIABLE[settings.db_type]}"
