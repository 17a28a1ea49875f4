"""Whether every row is cached in time: the waits that the stamps show, beside the bound of `simulation`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from redis import Redis

from sesacctl.cache.client import connect
from sesacctl.cache.rows import TABLES, Table
from sesacctl.cache.snapshot import microseconds, read_rounds
from sesacctl.cache.state import read_state
from sesacctl.database import row_security
from sesacctl.database.connections import transaction
from sesacctl.database.cursors import fetch_row
from sesacctl.pipeline.refresh.simulation import bound
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFairness:
    """`worst_wait`: rounds since the longest waiting row was cached; None if no row was ever cached.

    `bound` is None when no share is kept for rows cached before: then nothing `holds`. `recorded`: whether every
    round since was noted in Redis; if not, those before are counted by the stamps that are left of them.
    """

    table: Table
    rows: int
    never_cached: int
    oldest: datetime | None
    bound: int | None
    worst_wait: int | None
    recorded: bool
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """All tables; `size` and `fresh` are those of the last refresh, `holds` is that of all."""

    size: int
    fresh: int
    holds: bool
    tables: tuple[TableFairness, ...]


def read_fairness(settings: Settings) -> Fairness:
    """Bound and worst wait of each table, from PostgreSQL's stamps and the rounds noted in Redis.

    Raises:
        ServerUnreachable: PostgreSQL or Redis is away.
        ServerRefused: PostgreSQL or Redis refused the login, or rights are missing.
        SchemaNotAtHead: a table or column is missing.
        DatabaseMissing: PostgreSQL has no such database.
    """
    redis = connect(settings)
    state = read_state(redis)
    try:
        with transaction(settings, command="cache-fairness") as cursor:
            row_security.require_visible(cursor, TABLES)
            tables = tuple(_table(cursor, redis, table, state.size, state.fresh) for table in TABLES)
    finally:
        redis.close()
    return Fairness(size=state.size, fresh=state.fresh, holds=all(table.holds for table in tables), tables=tables)


def _table(cursor: extensions.cursor, redis: Redis, table: Table, size: int, fresh: int) -> TableFairness:
    cursor.execute(f"SELECT count(*), count(*) - count(last_cached_at), min(last_cached_at) FROM {table}")
    rows, never_cached, oldest = fetch_row(cursor)
    limit = bound(rows, size=size, fresh=fresh)
    noted = read_rounds(redis, table)
    wait = None
    if oldest is not None:
        since = sum(stamp > microseconds(oldest) for stamp in noted)
        wait = since + _stamps_between(cursor, table, oldest, _time(noted[-1]) if noted else None)
    return TableFairness(
        table=table,
        rows=rows,
        never_cached=never_cached,
        oldest=oldest,
        bound=limit,
        worst_wait=wait,
        recorded=bool(noted) and oldest is not None and noted[-1] <= microseconds(oldest),
        holds=limit is not None and (wait is None or wait <= limit),
    )


def _stamps_between(cursor: extensions.cursor, table: Table, oldest: datetime, before: datetime | None) -> int:
    """Different stamps after `oldest` and before `before`: each is a round, in which all rows get the same one.

    One index look-up for each, up to 20,000, independent of the number of rows.
    """
    cursor.execute(
        f"""
        WITH RECURSIVE stamps(at) AS (
            VALUES (%(oldest)s::timestamptz)
            UNION ALL
            SELECT (SELECT min(last_cached_at) FROM {table} WHERE last_cached_at > stamps.at) FROM stamps
            WHERE stamps.at < coalesce(%(before)s, 'infinity'::timestamptz))
        SELECT count(*) - 1 FROM (SELECT at FROM stamps LIMIT 20001) AS s
        WHERE at < coalesce(%(before)s, 'infinity'::timestamptz) AND at IS NOT NULL""",
        {"oldest": oldest, "before": before},
    )
    return max(0, int(fetch_row(cursor)[0]))


def _time(stamp: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=stamp)
