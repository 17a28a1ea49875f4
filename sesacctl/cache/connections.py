"""Connections to Redis or Valkey with bounded waits, and its errors in the user's words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from redis import Redis, exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from sesacctl.cache.refusals import STALE, code, name_command, to_sesacctl_error
from sesacctl.errors import ConfigurationError
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from redis.connection import AbstractConnection

# A name may have several addresses, each tried for this long: a one-shot command gives up within ten seconds.
CONNECT_SECONDS = 2.0
ANSWER_SECONDS = 5.0


class _Client(Redis):
    """Names the command in its error, as pipelines do: most servers do not say which key was refused.

    `of_stack`: whether it is the local stack's server that is connected to.
    """

    of_stack = False

    def execute_command(self, command: str, *arguments: object, **options: object) -> object:
        execute: Callable[..., object] = super().execute_command
        try:
            return execute(command, *arguments, **options)
        except exceptions.ResponseError as error:
            name_command(error, command, *arguments)
            raise


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
        "redis_connect_func": _greet,
        "driver_info": None,  # CLIENT SETINFO is a right more to ask for
    }
    if settings.redis_url:
        try:
            client = _Client.from_url(settings.redis_url.get_secret_value(), **options)
            # Connects to nothing: what stands behind a ? in the URL is looked at only now.
            client.connection_pool.connection_class(**client.connection_pool.connection_kwargs)
            return client
        except (ValueError, TypeError, exceptions.RedisError):
            raise ConfigurationError("REDIS_URL is not a URL such as redis://USER:PASSWORD@HOST:6379/0") from None
    client = _Client(
        host=settings.redis_host,
        port=settings.redis_port,
        db=settings.redis_db,
        # By name, so that a server without passwords takes one too: the local stack's, beside a `.env` for Compose.
        username=settings.redis_username or ("default" if settings.redis_password else None),
        password=settings.redis_password.get_secret_value() if settings.redis_password else None,
        **options,
    )
    client.of_stack = settings.follows_stack("redis_host", "redis_port")
    return client


def _greet(connection: AbstractConnection) -> None:
    """Log in, and ask for a word before anything long is sent.

    To who has not logged in, servers hang up in the midst of a long command: the reason would be lost.
    """
    connection.on_connect()
    connection.send_command("PING", check_health=False)
    with suppress(
        exceptions.ResponseError
    ):  # a right that is missing, or a state in which others may still be answered
        connection.read_response()


def address(redis: Redis) -> str:
    """`host:port`, or the path of the socket."""
    options = redis.connection_pool.connection_kwargs
    return str(options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}")


@contextmanager
def translate_errors(redis: Redis) -> Iterator[None]:
    """Redis errors, raised as ours.

    Raises:
        ServerUnreachable: no connection, no answer, or not ready to work.
        ServerRefused: wrong credentials, missing rights, or a wrong kind of server.
        ServerFull: `maxmemory` is reached.
    """
    try:
        yield
    except (exceptions.RedisError, OSError, UnicodeError) as error:
        if code(error) in STALE:
            redis.connection_pool.disconnect(inuse_connections=False)
        user = redis.connection_pool.connection_kwargs.get("username") or "default"
        of_stack = getattr(redis, "of_stack", False)
        raise to_sesacctl_error(error, f"Redis at {address(redis)}", user, of_stack=of_stack) from error
