"""Connection parameters for the three kinds of PostgreSQL that `DB_TYPE` selects: local, Supabase, RDS."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from psycopg2 import ProgrammingError
from psycopg2.extensions import parse_dsn
from pydantic import SecretStr

from sesacctl.errors import ConfigurationError
from sesacctl.settings import DbType, Settings

PLACEHOLDER = "[YOUR-PASSWORD]"
# Supabase's transaction pooler: a connection keeps no session state between transactions.
TRANSACTION_POOLER_PORT = 6543
_SYSTEM = "system"
_TLS_MODES = ("require", "verify-ca", "verify-full")


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A database, and how to get in; `options` are libpq's, by their names."""

    host: str
    port: int
    database: str
    user: str | None
    password: str | None = field(repr=False)
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """`host:port` for messages; for a Unix socket, its folder."""
        return f"{self.host}:{self.port}" if self.uses_tcp else self.host

    @property
    def parameters(self) -> dict[str, Any]:
        """All of it by libpq's names."""
        own = {"host": self.host, "port": self.port, "dbname": self.database}
        return {**self.options, **own, "user": self.user, "password": self.password}

    @property
    def uses_tcp(self) -> bool:
        """Whether it is not a Unix socket."""
        return not self.host.startswith("/")

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine."""
        return not self.uses_tcp or self.host in ("localhost", "::1") or self.host.startswith("127.")

    @property
    def is_transaction_pooler(self) -> bool:
        """Whether session state is lost between two transactions."""
        return self.port == TRANSACTION_POOLER_PORT


def locate(settings: Settings) -> Location:
    """The database of these settings.

    Raises:
        ConfigurationError: a variable is missing or wrong; names it, never shows a value.
    """
    return {DbType.LOCAL: _local, DbType.SUPABASE: _supabase, DbType.RDS: _rds}[settings.db_type](settings)


def _local(settings: Settings) -> Location:
    return Location(
        host=settings.postgres_host or "localhost",
        port=settings.postgres_port,
        database=settings.postgres_db,
        user=settings.postgres_user,
        password=settings.postgres_password.get_secret_value() or None,
    )


def _supabase(settings: Settings) -> Location:
    text = _required(settings.supabase_direct_url, "SUPABASE_DIRECT_URL", DbType.SUPABASE)
    if PLACEHOLDER in text:
        if not settings.supabase_password:
            raise ConfigurationError(f"SUPABASE_DIRECT_URL holds {PLACEHOLDER}: set SUPABASE_PASSWORD")
        text = text.replace(PLACEHOLDER, quote(settings.supabase_password.get_secret_value(), safe=""))
    try:
        location = _parse(text)
    except (ProgrammingError, ValueError):
        raise ConfigurationError(
            "SUPABASE_DIRECT_URL is not a URL such as postgresql://postgres:[YOUR-PASSWORD]@HOST:5432/postgres"
            " (special characters in it must be percent-encoded, and after a ? only libpq's parameters may come)"
        ) from None
    if location.options["sslmode"] not in _TLS_MODES:
        raise ConfigurationError("SUPABASE_DIRECT_URL turns TLS off: leave out its sslmode, or use require or above")
    authority = settings.supabase_sslrootcert
    if authority is None and location.options.get("sslrootcert") == _SYSTEM:
        authority = Path(_SYSTEM)
    verified = _verified("SUPABASE_SSLROOTCERT", authority)
    return replace(location, options={**location.options, **verified})


def _parse(text: str) -> Location:
    """From a URL as libpq reads it, with SQLAlchemy's schemes as well; ValueError or ProgrammingError."""
    scheme, _, rest = text.partition("://")
    if scheme.partition("+")[0] not in ("postgres", "postgresql"):
        raise ValueError(scheme)
    parts: dict[str, str] = parse_dsn(f"postgresql://{rest}")
    host = parts.pop("host", "")
    # An `@` that was not encoded in the password moves the rest of it into the host.
    if not host or set(host) & set("@[]"):
        raise ValueError("host")
    return Location(
        host=host,
        port=int(parts.pop("port", 5432)),
        database=parts.pop("dbname", "postgres"),
        user=parts.pop("user", None),
        password=parts.pop("password", None),
        options={"sslmode": "require", **parts},
    )


def _rds(settings: Settings) -> Location:
    return Location(
        user=_required(settings.rds_user, "RDS_USER", DbType.RDS),
        password=_required(settings.rds_password, "RDS_PASSWORD", DbType.RDS),
        host=_required(settings.rds_host, "RDS_HOST", DbType.RDS),
        port=settings.rds_port,
        database=_required(settings.rds_db, "RDS_DB", DbType.RDS),
        options={"sslmode": "require", **_verified("RDS_SSLROOTCERT", settings.rds_sslrootcert)},
    )


def _verified(variable: str, authority: Path | None) -> dict[str, str]:
    """libpq's options to verify certificate and host name; none without a CA."""
    if authority is None:
        return {}
    if str(authority) == _SYSTEM:
        # The libpq of psycopg2-binary brings an OpenSSL that looks for the system's CAs where there are none.
        return {"sslmode": "verify-full", "sslrootcert": ssl.get_default_verify_paths().cafile or _SYSTEM}
    if not authority.is_file():
        raise ConfigurationError(f"{variable}: there is no file {authority}")
    return {"sslmode": "verify-full", "sslrootcert": str(authority)}


def _required(value: str | SecretStr | None, variable: str, kind: DbType) -> str:
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not text:
        raise ConfigurationError(f"{variable} is not set, and DB_TYPE={kind} needs it")
    return text
