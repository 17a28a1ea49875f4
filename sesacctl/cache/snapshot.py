"""Publishing a generation of the cache: readers see the old hash or the new one, whole, and nothing between."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

from redis import Redis

from sesacctl.cache.connections import translated
from sesacctl.cache.rows import Table

META = "cache:meta"
# Eleven days at 50 s, and enough to check the bound of ten million rows.
ROUNDS_KEPT = 20_000
_EPOCH = datetime.fromtimestamp(0, UTC)
_CHUNK = 1000


def live_key(table: Table) -> str:
    """The hash `{id: JSON}` that readers use."""
    return f"cache:{table}"


def next_key(table: Table) -> str:
    """Where the next hash is written; the braces put it into the live hash's cluster slot, as RENAME demands."""
    return f"{{cache:{table}}}:next"


def rounds_key(table: Table) -> str:
    """The list of the stamps of all committed rounds, the newest first, in microseconds since 1970."""
    return f"{{cache:{table}}}:rounds"


def publish(
    redis: Redis, rows: Mapping[Table, Mapping[str, str]], *, at: datetime, plan: Mapping[str, float | int]
) -> int:
    """Replace the hash of each table in `rows` (`{id: JSON}`, never empty), then move the generation on; returns it.

    `at` is when the rows were picked; `plan` is kept in the meta data beside it.

    Raises:
        ServerUnreachable, ServerRefused, ServerFull: a hash is either as it was or wholly replaced.
    """
    with translated(redis):
        for table, values in rows.items():
            _replace(redis, table, values)
        with redis.pipeline(transaction=True) as pipeline:
            pipeline.hincrby(META, "generation", 1)
            counts = {table: len(values) for table, values in rows.items()}
            pipeline.hset(META, mapping=dict[Any, Any](plan) | {"time": at.isoformat()} | counts)
            return int(pipeline.execute()[0])


def record_round(redis: Redis, stamps: Mapping[Table, datetime]) -> None:
    """Note the stamps of a committed round, for `cache fairness`; about 10 bytes each, `ROUNDS_KEPT` are kept.

    Raises:
        ServerUnreachable, ServerRefused, ServerFull.
    """
    with translated(redis), redis.pipeline(transaction=False) as pipeline:
        for table, stamp in stamps.items():
            pipeline.lpush(rounds_key(table), microseconds(stamp))
            pipeline.ltrim(rounds_key(table), 0, ROUNDS_KEPT - 1)
        pipeline.execute()


def read_rounds(redis: Redis, table: Table) -> list[int]:
    """The stamps of the last committed rounds, the newest first, in microseconds since 1970."""
    with translated(redis):
        return [int(stamp) for stamp in redis.lrange(rounds_key(table), 0, -1)]


def microseconds(at: datetime) -> int:
    """Exact, unlike `timestamp()`."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def _replace(redis: Redis, table: Table, values: Mapping[str, str]) -> None:
    # One MULTI: two writers cannot mix their rows in the temporary key, and none is left behind. RENAME as well:
    # should a write in it fail, the live hash stays.
    with redis.pipeline(transaction=True) as pipeline:
        pipeline.delete(next_key(table))
        items = iter(values.items())
        while chunk := list(islice(items, _CHUNK)):
            pipeline.hset(next_key(table), mapping=dict[Any, str](chunk))
        pipeline.rename(next_key(table), live_key(table))
        pipeline.execute()
