"""Rows by how many rounds they have waited to be cached, for a picture beside the bound of `fairness`."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

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

MOST_ROWS = 100_000
"""Of a table with more, no row is looked at but the one that waits longest."""
MOST_BINS = 120
_ANSWER_SECONDS = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TableAging:
    """`histogram[n]`: rows that were cached `n * rounds_per_bin` rounds ago, or up to that of the next bin.

    It is None for a table of more than `MOST_ROWS`, whose `rows` are an estimate then, and so is `never_cached`.
    `worst_wait` is in rounds, None if no row was ever cached; `bound` is None when no share is kept for rows cached
    before.
    """

    table: Table
    rows: int
    never_cached: int | None
    bound: int | None
    worst_wait: int | None
    holds: bool
    rounds_per_bin: int
    histogram: list[int] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Aging:
    """All tables as of one generation; a round caches `size` rows of each, `fresh` of them kept for new ones."""

    generation: int | None
    size: int
    fresh: int
    tables: list[TableAging]


def read_aging(settings: Settings) -> Aging:
    """How long rows have waited; bounded by `MOST_ROWS`, whatever the size of a table.

    Raises:
        ServerUnreachable: PostgreSQL or Redis is away.
        ServerRefused: PostgreSQL or Redis refused the login, or rights are missing.
        SchemaNotAtHead: a table or column is missing.
        DatabaseMissing: PostgreSQL has no such database.
    """
    redis = connect(settings, answer_seconds=_ANSWER_SECONDS)
    try:
        state = read_state(redis)
        noted = {table: read_rounds(redis, table) for table in TABLES}
    finally:
        redis.close()
    with transaction(settings, command="cache-aging", bound=_ANSWER_SECONDS) as cursor:
        row_security.require_visible(cursor, TABLES)
        tables = [_table(cursor, table, noted[table], size=state.size, fresh=state.fresh) for table in TABLES]
    return Aging(generation=state.generation, size=state.size, fresh=state.fresh, tables=tables)


def _table(cursor: extensions.cursor, table: Table, noted: Sequence[int], *, size: int, fresh: int) -> TableAging:
    cursor.execute(f"SELECT count(*) FROM (SELECT FROM {table} LIMIT {MOST_ROWS + 1}) AS t")
    rows: int = fetch_row(cursor)[0]
    if rows > MOST_ROWS:
        return _large(cursor, table, noted, size=size, fresh=fresh)
    cursor.execute(f"SELECT last_cached_at, count(*) FROM {table} GROUP BY 1")
    stamps: dict[datetime | None, int] = dict(cursor.fetchall())
    never_cached = stamps.pop(None, 0)
    waits = waits_of({microseconds(at): count for at, count in stamps.items() if at is not None}, noted)
    limit = bound(rows, size=size, fresh=fresh)
    worst = max(waits, default=None)
    per_bin, histogram = in_bins(waits, limit)
    return TableAging(
        table=table, rows=rows, never_cached=never_cached, bound=limit, worst_wait=worst, holds=_holds(limit, worst),
        rounds_per_bin=per_bin, histogram=histogram,
    )  # fmt: skip


def _large(cursor: extensions.cursor, table: Table, noted: Sequence[int], *, size: int, fresh: int) -> TableAging:
    cursor.execute(
        "SELECT greatest(%s, reltuples::bigint), (SELECT min(last_cached_at) FROM"
        f" {table}) FROM pg_class WHERE oid = %s::regclass",
        (MOST_ROWS, table),
    )
    rows, oldest = fetch_row(cursor)
    limit = bound(rows, size=size, fresh=fresh)
    worst = max(waits_of({} if oldest is None else {microseconds(oldest): 1}, noted), default=None)
    return TableAging(
        table=table, rows=rows, never_cached=None, bound=limit, worst_wait=worst, holds=_holds(limit, worst),
        rounds_per_bin=1, histogram=None,
    )  # fmt: skip


def _holds(limit: int | None, worst: int | None) -> bool:
    return limit is not None and (worst is None or worst <= limit)


def waits_of(stamps: dict[int, int], noted: Sequence[int]) -> Counter[int]:
    """Rows by the rounds since they were cached: those that were noted, and before them those that left stamps.

    `stamps` has rows by when they were cached, `noted` the rounds, the newest first, both in microseconds.
    """
    before = noted[-1] if noted else None
    rounds = sorted({*noted, *(stamp for stamp in stamps if before is None or stamp < before)})
    waits: Counter[int] = Counter()
    for stamp, rows in stamps.items():
        waits[len(rounds) - bisect_right(rounds, stamp)] += rows
    return waits


def in_bins(waits: Counter[int], limit: int | None) -> tuple[int, list[int]]:
    """Rounds for each bin, and rows by bin, up to the bound or the longest wait."""
    last = max([*waits, limit or 0])
    per_bin = -(-(last + 1) // MOST_BINS)
    bins = [0] * (last // per_bin + 1)
    for wait, rows in waits.items():
        bins[wait // per_bin] += rows
    return per_bin, bins
