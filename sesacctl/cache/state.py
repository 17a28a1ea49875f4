"""What Redis holds of the cache, for people and probes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis import Redis, ResponseError

from sesacctl.cache.connections import translated
from sesacctl.cache.rows import FRESH, SIZE, TABLES, Table
from sesacctl.cache.snapshot import META, live_key

# Something else under the key of a hash: a refresh puts the hash in its place.
_NO_HASH = "WRONGTYPE"


@dataclass(frozen=True, slots=True, kw_only=True)
class HashState:
    """One hash: its rows, and its bytes in memory if the server tells."""

    table: Table
    rows: int
    memory: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheState:
    """`refreshed_at`: when the last generation was picked, by PostgreSQL's clock; `period`: 0 if no other is planned.

    `size` and `fresh` are those of the last refresh, or the usual ones.
    """

    hashes: tuple[HashState, ...]
    generation: int | None
    refreshed_at: datetime | None
    period: float
    size: int
    fresh: int
    used_memory: int
    max_memory: int
    policy: str

    @property
    def empty(self) -> tuple[Table, ...]:
        """The tables of which there is no row."""
        return tuple(each.table for each in self.hashes if not each.rows)

    @property
    def evicts(self) -> bool:
        """Whether a full Redis would drop a whole hash; `volatile-*` leaves keys without a lifetime alone."""
        return self.policy.startswith("allkeys")


def read_state(redis: Redis) -> CacheState:
    """The cache as it is now.

    Raises:
        ServerUnreachable, ServerRefused: Redis is away.
    """
    with translated(redis):
        with redis.pipeline(transaction=False) as pipeline:
            for table in TABLES:
                pipeline.hlen(live_key(table))
                pipeline.memory_usage(live_key(table))
            pipeline.hgetall(META)
            *sizes, meta = pipeline.execute(raise_on_error=False)
        for reply in (*sizes[::2], meta):
            if isinstance(reply, ResponseError) and not str(reply).startswith(_NO_HASH):
                raise reply
        info: dict[str, Any] = redis.info("memory")
    rows, memory = sizes[::2], sizes[1::2]
    meta = {} if isinstance(meta, ResponseError) else meta
    at = meta.get(b"time")
    return CacheState(
        hashes=tuple(
            HashState(table=table, rows=_number(count) or 0, memory=_number(used))
            for table, count, used in zip(TABLES, rows, memory, strict=True)
        ),
        generation=int(meta[b"generation"]) if b"generation" in meta else None,
        refreshed_at=datetime.fromisoformat(at.decode()) if at else None,
        period=float(meta.get(b"period", 0)),
        size=int(meta.get(b"size", SIZE)),
        fresh=int(meta.get(b"fresh", FRESH)),
        used_memory=info["used_memory"],
        max_memory=info.get("maxmemory", 0),
        policy=info.get("maxmemory_policy", "unknown"),
    )


def _number(reply: Any) -> int | None:
    """None for an error in its place."""
    return reply if isinstance(reply, int) else None
