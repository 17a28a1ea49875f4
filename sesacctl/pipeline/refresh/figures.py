"""What the cache worker has done: a round, and all of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from sesacctl.cache.rows import Table
from sesacctl.pipeline.latency import Histogram


@dataclass(frozen=True, slots=True, kw_only=True)
class TableRefresh:
    """How many rows of one table a round cached: those never cached before, and those cached longest ago."""

    table: Table
    fresh: int
    aged: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshResult:
    """One round: `skipped` when another worker was at it; `generation` and `at` are None if nothing was cached."""

    skipped: bool
    generation: int | None
    at: datetime | None
    seconds: float
    tables: tuple[TableRefresh, ...]

    @property
    def found_nothing(self) -> bool:
        """Whether the tables have no row to cache."""
        return self.generation is None and not self.skipped


class RefreshFigures:
    """What `run` has done so far; any thread may look. `last` is the last round that has cached something.

    `rows` are those cached in all rounds, by table, `fresh` those of them that never were before.
    """

    def __init__(self) -> None:
        self.rounds = dict.fromkeys(("cached", "skipped", "empty", "failed"), 0)
        self.seconds = Histogram()
        self.rows: Counter[Table] = Counter()
        self.fresh: Counter[Table] = Counter()
        self.last: RefreshResult | None = None

    def note(self, result: RefreshResult) -> None:
        """Add a round that has not failed."""
        self.rounds["skipped" if result.skipped else "empty" if result.found_nothing else "cached"] += 1
        self.seconds.observe(result.seconds)
        if result.generation is not None:
            self.last = result
            self.rows.update({each.table: each.fresh + each.aged for each in result.tables})
            self.fresh.update({each.table: each.fresh for each in result.tables})
