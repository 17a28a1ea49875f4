"""A drill is for the local stack alone: settings that lead anywhere else are refused before anything is touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from sesacctl.errors import ConfigurationError
from sesacctl.settings import DbType, Settings, explain
from sesacctl.stack import stack

_LOOPBACK = ("localhost", "127.0.0.1")


def require(settings: Settings, home: Path, *, again: str) -> None:
    """Return if all three servers are those of the stack in `home`; `again` is the command that asks.

    Raises:
        ServerUnreachable: no stack runs there.
        ConfigurationError: a setting names another server.
    """
    local = stack.environment(home)
    if (variable := next(_foreign(settings, local), None)) is None:
        return
    origins = {each.variable: each.origin for each in explain()}
    origin = origins.get(variable, "default")
    away = f"take {variable} out of .env" if origin == ".env" else f"unset {variable}"
    raise ConfigurationError(
        f"{variable} ({origin}) is not the local stack's in {home}: a drill harms the servers that it is pointed to,"
        " so it takes only those that `sesacctl up` started",
        hint=f"{away}, then {again}",
    )


def _foreign(settings: Settings, local: Mapping[str, str]) -> Iterator[str]:
    """The variables that lead to another server."""
    if settings.db_type is not DbType.LOCAL:
        yield "DB_TYPE"
    if not _same_path(settings.postgres_host, local["POSTGRES_HOST"]):
        yield "POSTGRES_HOST"
    if str(settings.postgres_port) != local["POSTGRES_PORT"]:
        yield "POSTGRES_PORT"
    if settings.redis_url is not None:
        yield "REDIS_URL"
    if not _same_host(settings.redis_host, local["REDIS_HOST"]):
        yield "REDIS_HOST"
    if str(settings.redis_port) != local["REDIS_PORT"]:
        yield "REDIS_PORT"
    ours = {_address(broker) for broker in local["KAFKA_BOOTSTRAP_SERVERS"].split(",")}
    if not {_address(broker) for broker in settings.brokers} <= ours:
        yield "KAFKA_BOOTSTRAP_SERVERS"


def _same_path(one: str, other: str) -> bool:
    return one == other or (Path(one).is_absolute() and Path(one).resolve() == Path(other).resolve())


def _same_host(one: str, other: str) -> bool:
    return one == other or (one in _LOOPBACK and other in _LOOPBACK)


def _address(broker: str) -> tuple[str, str]:
    host, _, port = broker.strip().rpartition(":")
    return "127.0.0.1" if host in _LOOPBACK else host, port
