"""PostgreSQL's errors in the user's words: what it is, whether waiting helps, and what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable

import psycopg2
from psycopg2 import errorcodes

from sesacctl.database import row_security
from sesacctl.database.deadline import NoAnswer
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
    DbType.LOCAL: "PGSSLMODE and PGSSLROOTCERT",  # libpq's own variables: sesacctl has none for it
    DbType.SUPABASE: "SUPABASE_DIRECT_URL and SUPABASE_SSLROOTCERT",
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
# A dropped connection mentions "SSL" too: only what comes back at every try is a refusal. The texts are those of
# fe-secure-openssl.c, fe-secure-common.c and fe-connect.c of PostgreSQL 15 to 18; after "SSL error:" come OpenSSL's.
_TLS_REFUSED = re.compile(
    r"certificate|private key file|private SSL key|sslrootcert|does not support SSL"
    r"|SSL connection is required|SSL required|channel binding|unknown ca\b|verified SSL connection|ALPN"
    r"|wrong version number|unsupported protocol|protocol version|no protocols available|no application protocol"
    r"|handshake failure|no shared cipher|no cipher|no suitable|insufficient security|unsafe legacy renegotiation"
    r"|key too small|md too weak|illegal parameter|unrecognized name|(?:minimum|maximum) SSL protocol",
    re.IGNORECASE,
)
# Of PostgreSQL 15 to 18, PgBouncer, Supavisor and RDS Proxy.
_FULL = re.compile(
    r"remaining connection slots are reserved|too many (?:clients|connections)|MaxClientsIn\w+|max clients reached"
    r"|max client connections reached|max_client_conn|no more connections allowed",
    re.IGNORECASE,
)
_NO_RIGHTS = re.compile(r"permission denied for (?:database|schema|table)", re.IGNORECASE)
# A network without IPv6, and a host with nothing else.
_NO_ROUTE = re.compile(
    r"Network is unreachable|No route to host|Cannot assign requested address|No address associated with hostname"
    r"|Name or service not known|nodename nor servname",
    re.IGNORECASE,
)
_SUPABASE_DIRECT = re.compile(r"db\.([a-z0-9]+)\.supabase\.co")
_UNKNOWN_HOST = re.compile(r"could not translate host name", re.IGNORECASE)
# Of the server and the session, wherever they come up.
_NOT_THE_FUNCTION = ("08", "28", "40", "53", "57")
_BY_CODE_ANYWHERE = (
    errorcodes.INSUFFICIENT_PRIVILEGE,
    errorcodes.LOCK_NOT_AVAILABLE,
)
READ_ONLY_HINT = (
    "free disk space if the disk is full (RDS, Supabase: a larger disk), then set default_transaction_read_only to off;"
    " after a fail-over, set the host to the primary's"
)
_NO_DATABASE = re.compile(r"database \".*\" does not exist|no such database", re.IGNORECASE)


def to_sesacctl_error(error: psycopg2.Error, settings: Settings) -> SesacctlError | None:
    """The error in the user's words, by its SQLSTATE; None if the user cannot fix it."""
    text = _once(_LIBPQ.split(" ".join(str(error).split())))
    code = error.pgcode
    if code == errorcodes.TOO_MANY_CONNECTIONS or (code is None and _FULL.search(text)):
        return _full(text, settings)
    if code == errorcodes.READ_ONLY_SQL_TRANSACTION and _is_ours(error):
        return read_only(text, settings)
    if row_security.is_policy(error):
        return _no_policy(text, settings)
    if code == errorcodes.INSUFFICIENT_PRIVILEGE or (code is None and _NO_RIGHTS.search(text)):
        return _no_rights(text, settings)
    if code is None:
        return _without_code(error, text, settings)
    return _by_code(code, text, settings) if _is_ours(error) else by_user_code(error, settings)


def _once(sentences: Iterable[str]) -> str:
    """Each sentence once: libpq tries with TLS and without, and every address of a name."""
    return "; ".join(dict.fromkeys(sentence for each in sentences if (sentence := each.strip())))


def _is_ours(error: psycopg2.Error) -> bool:
    """Whether the schema and the server are to blame, and not a function that somebody else wrote."""
    return (
        name_failing(error) is None
        or (error.pgcode or "")[:2] in _NOT_THE_FUNCTION
        or error.pgcode in _BY_CODE_ANYWHERE
    )


def by_user_code(error: psycopg2.Error, settings: Settings) -> ServerRefused:
    """The error of a function that somebody else wrote."""
    name, text = name_failing(error), " ".join(str(error).split())
    return ServerRefused(
        f"PostgreSQL at {locate(settings).address} refused: {name}, which is not sesacctl's, failed"
        f" (SQLSTATE {error.pgcode}): {text}",
        hint=f"fix {name}, or drop the trigger that calls it; then the same command again",
    )


def _by_code(code: str, text: str, settings: Settings) -> SesacctlError | None:
    location = locate(settings)
    server = f"PostgreSQL at {location.address}"
    if code[:2] == "28":
        return ServerRefused(f"{server} refused: {text}", hint=f"set {_USER_VARIABLE[settings.db_type]}")
    if code in (errorcodes.UNDEFINED_TABLE, errorcodes.UNDEFINED_COLUMN):
        return SchemaNotAtHead(f"The tables in {location.database} are not what this sesacctl was made for: {text}")
    if code in (errorcodes.LOCK_NOT_AVAILABLE, errorcodes.QUERY_CANCELED):
        return CheckFailed(f"{server} gave up waiting: {text}", hint="the same command again, when the other is done")
    if code[:2] == "40":
        return CheckFailed(
            f"{server}: another session changed the same rows in another order: {text}", hint="the same command again"
        )
    if code[:2] in ("08", "53", "57"):
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
        hint = _session_pooler_hint(settings) if _NO_ROUTE.search(text) else None
        return ServerUnreachable(f"{server} cannot be reached: {text}", hint=hint or _reach_hint(settings))
    return None


def _full(text: str, settings: Settings) -> ServerUnreachable:
    instead = {
        DbType.LOCAL: "raise max_connections of PostgreSQL, or the pool of its pooler",
        DbType.RDS: "raise max_connections of its parameter group, or put a pooler before it",
        DbType.SUPABASE: "raise its pool size, or set SUPABASE_DIRECT_URL to the transaction pooler, port 6543",
    }[settings.db_type]
    return ServerUnreachable(
        f"PostgreSQL at {locate(settings).address} has no connection left: {text}",
        hint=f"sesacctl consume with fewer --instances; or {instead}",
    )


def read_only(text: str, settings: Settings) -> ServerUnreachable:
    """The error of a database that takes no writes: `text` says how it is known."""
    return ServerUnreachable(f"PostgreSQL at {locate(settings).address} takes no writes: {text}", hint=READ_ONLY_HINT)


def _no_rights(text: str, settings: Settings) -> ServerRefused:
    location = locate(settings)
    return ServerRefused(
        f"PostgreSQL at {location.address} refused: {text}",
        hint=f"GRANT it to user {location.user}, as deploy/sql/roles.sql does for each role",
    )


def _no_policy(text: str, settings: Settings) -> ServerRefused:
    location = locate(settings)
    return ServerRefused(
        f"PostgreSQL at {location.address} refused: {text}", hint=row_security.hint(location.user or "that connects")
    )


def _session_pooler_hint(settings: Settings) -> str | None:
    """For a host of Supabase's that has only an IPv6 address."""
    found = _SUPABASE_DIRECT.fullmatch(locate(settings).host)
    return found and (
        f"{found[0]} has only an IPv6 address: set SUPABASE_DIRECT_URL to the session pooler's,"
        f" postgresql://postgres.{found[1]}:[YOUR-PASSWORD]@HOST.pooler.supabase.com:5432/postgres"
    )


def _reach_hint(settings: Settings) -> str:
    where = f"set {_HOST_VARIABLE[settings.db_type]}"
    if settings.db_type is not DbType.LOCAL:
        return where
    ours = settings.follows_stack("postgres_host", "postgres_port")
    return f"sesacctl up, or {where}" if ours else f"start that server, or {where}"
