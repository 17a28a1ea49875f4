"""Connections to Redis or Valkey with bounded waits, and its errors in the user's words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis, exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from sesacctl.errors import ConfigurationError, ServerFull, ServerRefused, ServerUnreachable, SesacctlError
from sesacctl.settings import Settings

# A name may have several addresses, each tried for this long: a one-shot command gives up within ten seconds.
CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 5.0
_REACH_HINT = "sesacctl up, or set REDIS_URL, or REDIS_HOST and REDIS_PORT"
# Error replies of a server that will work again by itself: redis-py takes the code off those that it has a class for.
_NOT_NOW = (exceptions.ReadOnlyError, exceptions.ClusterDownError, exceptions.TryAgainError)
_NOT_NOW_CODES = ("MISCONF", "NOREPLICAS", "BUSY")
# A pipeline puts the command before the error, and with it the rows that it writes.
_COMMAND = re.compile(r"^Command # \d+ \(.*\) of pipeline caused error: ", re.DOTALL)
_LOGIN_HINT = "set REDIS_PASSWORD, and REDIS_USERNAME for an ACL user"


def connect(settings: Settings, *, answer_seconds: float | None = None) -> Redis:
    """A client that connects on first use, by `REDIS_URL` or its parts; its answers are bytes.

    It waits `answer_seconds` for an answer, `ANSWER_SECONDS` if that is None.

    Raises:
        ConfigurationError: REDIS_URL is no such URL.
    """
    options: dict[str, Any] = {
        "socket_connect_timeout": CONNECT_SECONDS,
        "socket_timeout": answer_seconds or ANSWER_SECONDS,
        "protocol": 2,  # so that servers before Redis 6 do as well
        # Once: an idle connection may have been closed. Not after a timeout: that would double the wait.
        "retry": Retry(NoBackoff(), 1, (exceptions.ConnectionError,)),
    }
    if settings.redis_url:
        try:
            return Redis.from_url(settings.redis_url.get_secret_value(), **options)
        except ValueError:
            raise ConfigurationError("REDIS_URL is not a URL such as redis://USER:PASSWORD@HOST:6379/0") from None
    return Redis(
        host=settings.redis_host,
        port=settings.redis_port,
        db=settings.redis_db,
        # By name, so that a server without passwords takes one too: the local stack's, beside a `.env` for Compose.
        username=settings.redis_username or ("default" if settings.redis_password else None),
        password=settings.redis_password.get_secret_value() if settings.redis_password else None,
        **options,
    )


def address(redis: Redis) -> str:
    """`host:port`, or the path of the socket."""
    options = redis.connection_pool.connection_kwargs
    return str(options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}")


@contextmanager
def translated(redis: Redis) -> Iterator[None]:
    """Redis errors, raised as ours.

    Raises:
        ServerUnreachable: no connection, no answer, or not ready to work.
        ServerRefused: wrong credentials, missing rights, or a wrong kind of server.
        ServerFull: `maxmemory` is reached.
    """
    try:
        yield
    except (exceptions.RedisError, OSError, UnicodeError) as error:
        raise _as_ours(error, f"Redis at {address(redis)}") from error


def _as_ours(error: exceptions.RedisError | OSError | UnicodeError, server: str) -> SesacctlError:
    text = _COMMAND.sub("", str(error))
    match error:
        case exceptions.AuthenticationError() | exceptions.AuthorizationError() | exceptions.NoPermissionError():
            return ServerRefused(f"{server} refused: {text}", hint=_LOGIN_HINT)
        case exceptions.OutOfMemoryError():
            return ServerFull(f"{server} is full: {text}", hint="raise its maxmemory, or remove what else it holds")
        case exceptions.ResponseError() if not isinstance(error, _NOT_NOW) and not text.startswith(_NOT_NOW_CODES):
            return ServerRefused(f"{server} refused: {text}")
        case exceptions.InvalidResponse():
            return ServerRefused(f"{server} is no Redis: it does not speak its protocol", hint=_REACH_HINT)
        case UnicodeError():
            return ServerUnreachable(f"{server} cannot be reached: that is no name of a host", hint=_REACH_HINT)
        case _:
            return ServerUnreachable(f"{server} cannot be reached: {text}", hint=_REACH_HINT)
