"""Does every row get its turn? The bound, what the stamps show, and a simulation.

A round caches `size` rows, `fresh` of them kept for rows never cached before. So it takes at least `size - fresh` of
those cached longest ago, first in, first out. A row that was just cached has at most all N rows before it, and is
cached again within ceil(N / (size - fresh)) rounds; one more for a round under way, and one for rows of one stamp.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis

from sesacctl.cache.client import connect
from sesacctl.cache.rows import TABLES, Table
from sesacctl.cache.snapshot import microseconds, read_rounds
from sesacctl.cache.state import read_state
from sesacctl.database import database
from sesacctl.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFairness:
    """`worst_wait`: rounds since the turn of the row that waits longest; None if no row was ever cached.

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


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """`worst_wait`: rounds between two turns of a row; `worst_first_wait`: rounds before a newcomer's first turn.

    Rows still waiting at the end count with their wait so far. `backlog`: never cached at the end.
    """

    rows: int
    newcomers: int
    rounds: int
    size: int
    fresh: int
    bound: int | None
    worst_wait: int
    worst_first_wait: int
    backlog: int
    holds: bool


def bound(rows: int, *, size: int, fresh: int) -> int | None:
    """Rounds within which each of `rows` rows is cached again; None if `fresh` leaves nothing for them."""
    return -(-rows // (size - fresh)) + 2 if fresh < size else None


def shares(never_cached: int, cached: int, *, size: int, fresh: int) -> tuple[int, int]:
    """How many never cached rows and how many others a round takes; the refresh statement's arithmetic."""
    never_cached, cached = min(never_cached, size), min(cached, size)
    return min(never_cached, max(fresh, size - cached)), min(cached, max(size - fresh, size - never_cached))


def simulate(*, rows: int, newcomers: int, rounds: int, size: int, fresh: int) -> Simulation:
    """Play `rounds` rounds from `rows` never cached rows, with `newcomers` before each round.

    First turns come in the order of arrival, as they do with ids that grow with time.
    """
    waiting, cached = deque[tuple[int, int]](), deque[tuple[int, int]]()
    _join(waiting, 0, rows)
    backlog, turned, worst, worst_first = rows, 0, 0, 0
    for now in range(1, rounds + 1):
        _join(waiting, now, newcomers)
        backlog += newcomers
        first_turns, turns = shares(backlog, turned, size=size, fresh=fresh)
        worst_first = max(worst_first, now - _take(waiting, first_turns, now))
        worst = max(worst, now - _take(cached, turns, now))
        _join(cached, now, first_turns + turns)
        backlog, turned = backlog - first_turns, turned + first_turns
    worst = max(worst, rounds - cached[0][0]) if cached else worst
    worst_first = max(worst_first, rounds - waiting[0][0]) if waiting else worst_first
    limit = bound(rows + newcomers * rounds, size=size, fresh=fresh)
    return Simulation(
        rows=rows,
        newcomers=newcomers,
        rounds=rounds,
        size=size,
        fresh=fresh,
        bound=limit,
        worst_wait=worst,
        worst_first_wait=worst_first,
        backlog=backlog,
        holds=limit is not None and worst <= limit and newcomers <= fresh,
    )


def _join(queue: deque[tuple[int, int]], now: int, count: int) -> None:
    if count:
        queue.append((now, count))


def _take(queue: deque[tuple[int, int]], count: int, now: int) -> int:
    """Take `count` rows from the front of a queue of `(round, rows)`; the round of the first, or `now`."""
    oldest = queue[0][0] if count and queue else now
    while count and queue:
        since, rows = queue.popleft()
        if rows > count:
            queue.appendleft((since, rows - count))
        count -= min(rows, count)
    return oldest


def read_fairness(settings: Settings) -> Fairness:
    """Bound and worst wait of each table, from PostgreSQL's stamps and the rounds noted in Redis.

    Raises:
        ServerUnreachable, ServerRefused, SchemaNotAtHead, DatabaseMissing.
    """
    redis = connect(settings)
    state = read_state(redis)
    with database.translated(settings):
        postgres = database.connect(settings, command="cache-fairness")
        try:
            with postgres.cursor() as cursor:
                tables = tuple(_table(cursor, redis, table, state.size, state.fresh) for table in TABLES)
        finally:
            postgres.close()
            redis.close()
    return Fairness(size=state.size, fresh=state.fresh, holds=all(table.holds for table in tables), tables=tables)


def _table(cursor: Any, redis: Redis, table: Table, size: int, fresh: int) -> TableFairness:
    cursor.execute(f"SELECT count(*), count(*) - count(last_cached_at), min(last_cached_at) FROM {table}")
    rows, never_cached, oldest = cursor.fetchone()
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


def _stamps_between(cursor: Any, table: Table, oldest: datetime, before: datetime | None) -> int:
    """Different stamps after `oldest` and before `before`: each is a round, in which all rows get the same one.

    One index look-up for each, up to 20,000, whatever the number of rows.
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
    return max(0, int(cursor.fetchone()[0]))


def _time(stamp: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=stamp)
