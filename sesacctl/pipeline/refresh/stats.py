"""The cache from both sides: what Redis holds, and how long ago PostgreSQL's rows were cached."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sesacctl.cache.client import connect
from sesacctl.cache.rows import TABLES, Table
from sesacctl.cache.state import CacheState, HashState, read_state
from sesacctl.database import row_security
from sesacctl.database.connections import transaction
from sesacctl.database.cursors import fetch_row
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions

# Upper ends of the histogram's bins, in seconds.
_EDGES = {"1 min": 60, "5 min": 300, "15 min": 900, "1 h": 3600, "6 h": 21_600, "1 day": 86_400, "7 days": 604_800}


@dataclass(frozen=True, slots=True, kw_only=True)
class AgeBin:
    """Rows last cached less than `under` ago (and not less than the bin before); the last bin is `older`."""

    under: str
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TableStats:
    """`cached` rows in Redis, of `rows` in PostgreSQL."""

    table: Table
    cached: int
    memory: int | None
    rows: int
    never_cached: int
    ages: tuple[AgeBin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStats:
    """`age` and `next_refresh` in seconds by PostgreSQL's clock; a `next_refresh` below zero is overdue.

    `used_memory`, `max_memory` (both in bytes), `policy` and `evicts` are None where Redis does not report them.
    """

    generation: int | None
    refreshed_at: datetime | None
    age: float | None
    next_refresh: float | None
    used_memory: int | None
    max_memory: int | None
    policy: str | None
    evicts: bool | None
    tables: tuple[TableStats, ...]


def read_stats(settings: Settings) -> CacheStats:
    """Both servers' view; it counts every row, so it takes a second or so per five million.

    Raises:
        ConfigurationError: a setting of the connection is missing or wrong.
        ServerUnreachable: a server cannot be reached.
        ServerRefused: a server refused: wrong credentials or a missing right.
        DatabaseMissing: the server has no such database.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    redis = connect(settings)
    state = read_state(redis)
    redis.close()
    with transaction(settings, command="cache-stats") as cursor:
        row_security.require_visible(cursor, TABLES)
        cursor.execute("SELECT now()")
        now: datetime = fetch_row(cursor)[0]
        tables = tuple(_table(cursor, side) for side in state.hashes)
    return _stats(state, now, tables)


def _table(cursor: extensions.cursor, side: HashState) -> TableStats:
    cursor.execute(
        f"""SELECT width_bucket(extract(epoch FROM now() - last_cached_at)::float8, %s), count(*)
            FROM {side.table} GROUP BY 1""",
        ([float(edge) for edge in _EDGES.values()],),
    )
    counts: dict[int | None, int] = dict(cursor.fetchall())
    return TableStats(
        table=side.table,
        cached=side.rows,
        memory=side.memory,
        rows=sum(counts.values()),
        never_cached=counts.get(None, 0),
        ages=tuple(AgeBin(under=name, rows=counts.get(n, 0)) for n, name in enumerate((*_EDGES, "older"))),
    )


def _stats(state: CacheState, now: datetime, tables: tuple[TableStats, ...]) -> CacheStats:
    age = (now - state.refreshed_at).total_seconds() if state.refreshed_at else None
    return CacheStats(
        generation=state.generation,
        refreshed_at=state.refreshed_at,
        age=age,
        next_refresh=state.period - age if age is not None and state.period else None,
        used_memory=state.used_memory,
        max_memory=state.max_memory,
        policy=state.policy,
        evicts=state.evicts,
        tables=tables,
    )
