"""What Redis holds of the cache, for people and probes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis, RedisError, ResponseError
from redis.exceptions import NoPermissionError

from sesacctl.cache.connections import translate_errors
from sesacctl.cache.meta import META, parse
from sesacctl.cache.refusals import code, name_command
from sesacctl.cache.rows import TABLES, Table
from sesacctl.cache.snapshot import live_key

_NO_HASH = "WRONGTYPE"
"""The code where something else is under the key of a hash: a refresh puts the hash in its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HashState:
    """One hash: its rows, and its bytes in memory if the server reports them."""

    table: Table
    rows: int
    memory: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheState:
    """`refreshed_at`: when the last generation was picked, by PostgreSQL's clock; `period`: 0 if no other is planned.

    `size` and `fresh` are those of the last refresh, or the usual ones. What only INFO tells is None
    where it is refused.
    """

    hashes: tuple[HashState, ...]
    generation: int | None
    refreshed_at: datetime | None
    period: float
    size: int
    fresh: int
    used_memory: int | None
    max_memory: int | None
    policy: str | None

    @property
    def empty(self) -> tuple[Table, ...]:
        """The tables of which there is no row."""
        return tuple(each.table for each in self.hashes if not each.rows)

    @property
    def evicts(self) -> bool | None:
        """Whether a full Redis evicts a whole hash, if known; `volatile-*` leaves keys without a lifetime alone."""
        return None if self.policy is None else self.policy.startswith("allkeys")


def read_state(redis: Redis) -> CacheState:
    """The cache as it is now.

    Raises:
        ServerUnreachable: Redis cannot be reached, or is not ready.
        ServerRefused: Redis refused: wrong credentials or a missing right.
    """
    with translate_errors(redis):
        with redis.pipeline(transaction=False) as pipeline:
            for table in TABLES:
                pipeline.hlen(live_key(table))
                pipeline.memory_usage(live_key(table))
            pipeline.hgetall(META)
            *sizes, meta = pipeline.execute(raise_on_error=False)
        replies = [*(("HLEN", live_key(table), rows) for table, rows in zip(TABLES, sizes[::2], strict=True))]
        for command, key, reply in (*replies, ("HGETALL", META, meta)):
            if isinstance(reply, RedisError) and code(reply) != _NO_HASH:
                name_command(reply, command, key)
                raise reply
    info = read_info(redis, "memory")
    facts = parse({} if isinstance(meta, RedisError) else meta)
    return CacheState(
        hashes=tuple(
            HashState(table=table, rows=_number(count) or 0, memory=_number(used))
            for table, count, used in zip(TABLES, sizes[::2], sizes[1::2], strict=True)
        ),
        generation=facts.generation,
        refreshed_at=facts.time,
        period=facts.period,
        size=facts.size,
        fresh=facts.fresh,
        used_memory=_number(info.get("used_memory")),
        max_memory=_number(info.get("maxmemory", 0)) if info else None,
        policy=info.get("maxmemory_policy"),
    )


def read_info(redis: Redis, *sections: str) -> dict[str, Any]:
    """INFO; empty where it is refused or unknown, as some managed servers have it.

    Raises:
        ServerUnreachable: Redis cannot be reached, or is not ready.
        ServerRefused: Redis refused: wrong credentials or a missing right.
    """
    with translate_errors(redis):
        try:
            info: dict[str, Any] = redis.info(*sections)
        except NoPermissionError:
            return {}
        except ResponseError as error:
            if "unknown command" not in str(error).lower():
                raise
            return {}
    return info


def _number(reply: object) -> int | None:
    """None for an error in its place."""
    return reply if isinstance(reply, int) else None
