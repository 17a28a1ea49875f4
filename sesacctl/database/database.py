"""Engines, connections and sessions; `engine` and `SessionLocal` are made on first use from the settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from psycopg2 import errorcodes

from sesacctl import settings as settings_module
from sesacctl.database.connections import STATEMENT_SECONDS, connect, translate_errors, wait_until_ready
from sesacctl.database.deadline import NoAnswer, deadline
from sesacctl.database.location import locate
from sesacctl.settings import Settings

__all__ = [
    "NoAnswer",
    "SessionLocal",
    "connect",
    "deadline",
    "engine",
    "engine_for",
    "locate",
    "session_scope",
    "translate_errors",
    "wait_until_ready",
]

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import ExceptionContext
    from sqlalchemy.orm import Session, sessionmaker

    engine: Engine
    SessionLocal: sessionmaker[Session]


def engine_for(settings: Settings, *, command: str, bound: float = STATEMENT_SECONDS) -> Engine:
    """An engine whose connections are those of `connect`; behind a transaction pooler it keeps none of its own.

    Raises:
        ConfigurationError: a variable is missing or wrong.
    """
    from sqlalchemy import URL, NullPool, create_engine, event

    location = locate(settings)
    pool: dict[str, Any] = {"poolclass": NullPool} if location.is_transaction_pooler else {"pool_pre_ping": True}
    shown = URL.create(
        "postgresql+psycopg2",
        username=location.user,
        password=location.password,
        host=location.host,
        port=location.port,
        database=location.database,
        query=location.options,
    )
    engine = create_engine(shown, creator=lambda: connect(settings, command=command, bound=bound), **pool)
    event.listen(engine, "handle_error", _throw_away_read_only)
    return engine


def _throw_away_read_only(context: ExceptionContext) -> None:
    """After a fail-over the pool's connections may lead to a standby, and answer every ping."""
    if getattr(context.original_exception, "pgcode", None) == errorcodes.READ_ONLY_SQL_TRANSACTION:
        context.is_disconnect = True


@contextmanager
def session_scope() -> Iterator[Session]:
    """A session of the default engine: committed when the block ends well, rolled back when it raises."""
    with translate_errors(_default_settings()), _session_factory().begin() as session:
        yield session


@cache
def _default_settings() -> Settings:
    return settings_module.load()


@cache
def _default_engine() -> Engine:
    return engine_for(_default_settings(), command="library")


@cache
def _session_factory() -> sessionmaker[Session]:
    from sqlalchemy.orm import sessionmaker

    return sessionmaker(_default_engine())


def __getattr__(name: str) -> object:
    """`engine` and `SessionLocal`, so that importing this module needs neither settings nor a server."""
    if name == "engine":
        return _default_engine()
    if name == "SessionLocal":
        return _session_factory()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
