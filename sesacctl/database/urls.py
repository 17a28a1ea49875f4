"""The address of the three kinds of PostgreSQL that `DB_TYPE` names."""

from __future__ import annotations

from urllib.parse import quote

from pydantic import SecretStr
from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from sesacctl.errors import ConfigurationError
from sesacctl.settings import DbType, Settings

DRIVER = "postgresql+psycopg2"
PLACEHOLDER = "[YOUR-PASSWORD]"
# Supabase's transaction pooler: a connection keeps no session state between transactions.
TRANSACTION_POOLER_PORT = 6543
_TLS_MODES = ("require", "verify-ca", "verify-full")


def url(settings: Settings) -> URL:
    """The database's URL, its password inside (`str(url)` masks it).

    Raises:
        ConfigurationError: a variable is missing or wrong; names it, never shows a value.
    """
    return {DbType.LOCAL: _local, DbType.SUPABASE: _supabase, DbType.RDS: _rds}[settings.db_type](settings)


def address(location: URL) -> str:
    """`host:port` for messages; for a Unix socket, its folder."""
    host = location.host or "localhost"
    return host if host.startswith("/") else f"{host}:{location.port or 5432}"


def is_local(location: URL) -> bool:
    """Whether the server is on this machine."""
    host = location.host or ""
    return host in ("", "localhost", "::1") or host.startswith(("/", "127."))


def is_transaction_pooler(location: URL) -> bool:
    """Whether session state is lost between two transactions."""
    return location.port == TRANSACTION_POOLER_PORT


def _local(settings: Settings) -> URL:
    return URL.create(
        DRIVER,
        username=settings.postgres_user,
        password=settings.postgres_password.get_secret_value() or None,
        host=settings.postgres_host,
        port=settings.postgres_port,
        database=settings.postgres_db,
    )


def _supabase(settings: Settings) -> URL:
    text = _required(settings.supabase_direct_url, "SUPABASE_DIRECT_URL", DbType.SUPABASE)
    if PLACEHOLDER in text:
        if not settings.supabase_password:
            raise ConfigurationError(f"SUPABASE_DIRECT_URL holds {PLACEHOLDER}: set SUPABASE_PASSWORD")
        text = text.replace(PLACEHOLDER, quote(settings.supabase_password.get_secret_value(), safe=""))
    try:
        parsed = make_url(text)
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None or not _is_postgres(parsed):
        raise ConfigurationError(
            "SUPABASE_DIRECT_URL is not a URL such as postgresql://postgres:[YOUR-PASSWORD]@HOST:5432/postgres"
            " (special characters in it must be percent-encoded)"
        )
    if parsed.query.get("sslmode", "require") not in _TLS_MODES:
        raise ConfigurationError("SUPABASE_DIRECT_URL turns TLS off: leave out its sslmode, or use require or above")
    return parsed.set(drivername=DRIVER, database=parsed.database or "postgres").update_query_dict(
        {"sslmode": parsed.query.get("sslmode", "require")}
    )


def _is_postgres(parsed: URL) -> bool:
    host = parsed.host or ""
    # An `@` that was not encoded in the password moves the rest of it into the host.
    return (
        parsed.drivername.partition("+")[0] in ("postgres", "postgresql") and bool(host) and not set(host) & set("@[]")
    )


def _rds(settings: Settings) -> URL:
    tls = {"sslmode": "require"}
    if settings.rds_sslrootcert:
        if not settings.rds_sslrootcert.is_file():
            raise ConfigurationError(f"RDS_SSLROOTCERT: there is no file {settings.rds_sslrootcert}")
        tls = {"sslmode": "verify-full", "sslrootcert": str(settings.rds_sslrootcert)}
    return URL.create(
        DRIVER,
        username=_required(settings.rds_user, "RDS_USER", DbType.RDS),
        password=_required(settings.rds_password, "RDS_PASSWORD", DbType.RDS),
        host=_required(settings.rds_host, "RDS_HOST", DbType.RDS),
        port=settings.rds_port,
        database=_required(settings.rds_db, "RDS_DB", DbType.RDS),
        query=tls,
    )


def _required(value: str | SecretStr | None, variable: str, kind: DbType) -> str:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not text:
        raise ConfigurationError(f"{variable} is not set, and DB_TYPE={kind} needs it")
    return text
