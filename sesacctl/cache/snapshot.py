"""Publishing a generation of the cache: readers see the old hash or the new one, whole, and nothing between."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from itertools import islice
from typing import Any

from redis import Redis

from sesacctl.cache.connections import translated
from sesacctl.cache.rows import Table

META = "cache:meta"
_CHUNK = 1000


def live_key(table: Table) -> str:
    """The hash `{id: JSON}` that readers use."""
    return f"cache:{table}"


def next_key(table: Table) -> str:
    """Where the next hash is written; the braces put it into the live hash's cluster slot, as RENAME demands."""
    return f"{{cache:{table}}}:next"


def publish(redis: Redis, rows: Mapping[Table, Mapping[str, str]], *, at: datetime, period: float) -> int:
    """Replace the hash of each table in `rows` (`{id: JSON}`, never empty), then move the generation on; returns it.

    `at` is the stamp of the rows, `period` the seconds to the next refresh, 0 if none is planned.

    Raises:
        ServerUnreachable, ServerRefused, ServerFull: a hash is either as it was or wholly replaced.
    """
    with translated(redis):
        for table, values in rows.items():
            _replace(redis, table, values)
        with redis.pipeline(transaction=True) as pipeline:
            pipeline.hincrby(META, "generation", 1)
            fields: dict[Any, str | float] = {"time": at.isoformat(), "period": period}
            pipeline.hset(META, mapping=fields | {table: len(values) for table, values in rows.items()})
            return int(pipeline.execute()[0])


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
