"""Random users and products out of the cache.

from sesacctl.cache.client import get_redis_client

client = get_redis_client()
client.get_random_user()  # {'user_id': 'u_123', 'name': '홍길동', …}
"""

from __future__ import annotations

import logging
import random
import threading
from contextlib import suppress
from functools import cache
from time import monotonic
from typing import Any, Literal, NoReturn, overload

import msgspec
from redis import Redis, ResponseError

from sesacctl import settings
from sesacctl.cache.connections import address, connect, translate_errors
from sesacctl.cache.meta import META, Meta, parse
from sesacctl.cache.refusals import code, name_command
from sesacctl.cache.rows import TABLES, ProductRow, Table, UserRow
from sesacctl.cache.snapshot import live_key
from sesacctl.errors import CacheEmpty, SesacctlError

__all__ = ["CacheReader", "ProductRow", "UserRow", "connect", "get_redis_client"]

logger = logging.getLogger(__name__)

REFRESH_SECONDS = 10.0
"""Time for a refresh that is due."""

_FACTS = ["generation", "time", "period"]
_DECODERS: dict[Table, msgspec.json.Decoder[Any]] = {
    "users": msgspec.json.Decoder(UserRow),
    "products": msgspec.json.Decoder(ProductRow),
}


class CacheReader:
    """Reads each generation of the cache once and draws from memory; threads may share it.

    It sends Redis one command a second at most on average, however many rows are drawn: a look at the generation
    every `look_every` seconds, and two more commands when it has moved on.

    When Redis has lost the hashes (evicted, flushed, restarted empty), the last generation serves on for `keep`
    seconds, or until the next planned refresh has had time to close the gap, if that is longer.
    """

    def __init__(self, redis: Redis, *, look_every: float = 1.0, keep: float = 60.0) -> None:
        self._redis = redis
        self._look_every, self._keep = look_every, keep
        self._lock = threading.Lock()
        self._due = 0.0
        self._token: tuple[Any, ...] = ()
        self._held: dict[Table, tuple[Any, ...]] = dict.fromkeys(TABLES, ())
        self._seen = dict.fromkeys(TABLES, 0.0)
        self._meta = Meta()
        self._period = 0.0
        # One tuple, so that a reader sees rows and problem of the same snapshot.
        self._now: tuple[tuple[UserRow, ...], tuple[ProductRow, ...], SesacctlError | None] = ((), (), None)

    def users(self) -> tuple[UserRow, ...]:
        """All users of the current generation, to draw from in bulk with a generator of your own.

        Raises:
            CacheEmpty: Redis holds none.
            ServerUnreachable: Redis cannot be reached, or is not ready.
            ServerRefused: Redis refused: wrong credentials or a missing right.
        """
        if monotonic() >= self._due:
            self._snapshot()
        users, _, problem = self._now
        return users or self._raise_missing("users", problem)

    def products(self) -> tuple[ProductRow, ...]:
        """All products of the current generation; errors as `users`."""
        if monotonic() >= self._due:
            self._snapshot()
        _, products, problem = self._now
        return products or self._raise_missing("products", problem)

    def get_random_user(self) -> UserRow:
        """One of the cached users, each as likely as the others; errors as `users`."""
        rows = self.users()
        return rows[int(random.random() * len(rows))]

    def get_random_product(self) -> ProductRow:
        """One of the cached products, each as likely as the others; errors as `users`."""
        rows = self.products()
        return rows[int(random.random() * len(rows))]

    @overload
    def sample(self, table: Literal["users"], n: int) -> list[UserRow]: ...
    @overload
    def sample(self, table: Literal["products"], n: int) -> list[ProductRow]: ...
    def sample(self, table: Table, n: int) -> list[UserRow] | list[ProductRow]:
        """`n` different rows, or all if there are fewer; errors as `users`."""
        rows: tuple[Any, ...] = self.users() if table == "users" else self.products()
        return random.sample(rows, min(n, len(rows)))

    @property
    def generation(self) -> int | None:
        """Number of the generation that rows are drawn from; None if another program filled the cache."""
        return self._meta.generation

    def is_connected(self) -> bool:
        """Whether Redis answers; never raises."""
        try:
            with translate_errors(self._redis), suppress(ResponseError):  # an answer, if not the one that was hoped for
                self._redis.ping()
        except SesacctlError:
            return False
        return True

    def _raise_missing(self, table: Table, problem: SesacctlError | None) -> NoReturn:
        if problem is not None:
            raise problem.with_traceback(None)
        raise CacheEmpty(f"The cache is empty: there are no {table} in Redis at {address(self._redis)}")

    def _snapshot(self) -> None:
        # While one thread reads, the others draw from what there is.
        if not self._lock.acquire(blocking=not all(self._now[:2])):
            return
        try:
            if monotonic() < self._due:
                return
            commands = 1
            try:
                commands = self._load()
            except SesacctlError as problem:
                self._now = (), (), problem
            else:
                self._now = self._held["users"], self._held["products"], None
            self._due = monotonic() + commands * self._look_every
        finally:
            self._lock.release()

    def _load(self) -> int:
        """Bring `_held` up to date; returns the number of commands it took."""
        with translate_errors(self._redis):
            # Before the rows: should they be newer than it, the next look reads them again.
            token = self._look_at_meta()
            if token == self._token and None not in token:
                self._seen = dict.fromkeys(TABLES, monotonic())
                return 1
            with self._redis.pipeline(transaction=False) as pipeline:
                for table in TABLES:
                    pipeline.hvals(live_key(table))
                replies = dict(zip(TABLES, pipeline.execute(raise_on_error=False), strict=True))
                values = {table: _unless_no_hash(table, reply) for table, reply in replies.items()}
        for table in TABLES:
            self._hold(table, _decode(table, values[table]))
        known = zip(_FACTS, token, strict=True)
        self._meta = parse({name.encode(): value for name, value in known if value is not None})
        if token[2] is not None:
            self._period = self._meta.period
        self._token = token
        return 3

    def _look_at_meta(self) -> tuple[Any, ...]:
        """All None where it is not a hash: then the rows are read at each look, until a refresh puts it right."""
        try:
            return tuple(self._redis.hmget(META, _FACTS))
        except ResponseError as error:
            if code(error) != "WRONGTYPE":
                raise
            return (None,) * len(_FACTS)

    def _hold(self, table: Table, rows: tuple[Any, ...]) -> None:
        if rows:
            self._held[table], self._seen[table] = rows, monotonic()
        elif monotonic() - self._seen[table] >= max(self._keep, self._period + REFRESH_SECONDS):
            self._held[table] = ()


def _unless_no_hash(table: Table, reply: list[bytes] | Exception) -> list[bytes]:
    """No rows where something else is under the key; other errors are raised."""
    if isinstance(reply, Exception):
        if code(reply) != "WRONGTYPE":
            name_command(reply, "HVALS", live_key(table))
            raise reply
        return []
    return reply


def _decode(table: Table, values: list[bytes]) -> tuple[Any, ...]:
    rows, refused = [], 0
    for value in values:
        try:
            rows.append(_DECODERS[table].decode(value))
        except (msgspec.DecodeError, UnicodeDecodeError):
            refused += 1
    if refused:
        logger.warning(
            "cached rows that are not %s were left out", table, extra={"action": "cache.read", "rows": refused}
        )
    return tuple(rows)


@cache
def get_redis_client() -> CacheReader:
    """The process's reader, made on first use from the settings.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    return CacheReader(connect(settings.load()))
