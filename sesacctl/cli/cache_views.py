"""The tables of the `cache` commands."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sesacctl import formatting
from sesacctl.cli import render

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from sesacctl.pipeline.refresh.fairness import Fairness
    from sesacctl.pipeline.refresh.figures import RefreshFigures, RefreshResult
    from sesacctl.pipeline.refresh.simulation import Simulation
    from sesacctl.pipeline.refresh.statement import TableReset
    from sesacctl.pipeline.refresh.stats import CacheStats


def refresh(result: RefreshResult) -> RenderableType:
    """One round."""
    if result.skipped:
        return render.text("Skipped: another refresh, or a reset, is under way.")
    rows = [(table.table, table.fresh, table.aged, table.fresh + table.aged) for table in result.tables]
    title = f"Generation {result.generation}, {result.seconds:.3f} s" if result.generation else "Nothing to cache"
    return render.table(title, ("table", "never cached before", "longest ago", "cached"), rows)


def loop(figures: RefreshFigures, seconds: float) -> RenderableType:
    """All rounds of a loop, at its end."""
    rounds = ", ".join(f"{number:,} {what}" for what, number in figures.rounds.items() if number)
    facts: dict[str, object] = {"time": formatting.duration_text(seconds), "rounds": rounds or "none"}
    for table, rows in figures.rows.items():
        facts[f"{table} cached"] = f"{rows:,}, of them {figures.fresh[table]:,} never before"
    if figures.last is not None:
        facts["last generation"] = figures.last.generation
    return render.details("Refreshed", facts)


def planned_reset(resets: tuple[TableReset, ...]) -> Table:
    """How many rows a reset would mark as never cached."""
    return _resets("Would count as never cached", resets)


def reset(resets: tuple[TableReset, ...]) -> Table:
    """How many rows a reset has marked as never cached."""
    return _resets("Count as never cached from now on", resets)


def _resets(title: str, resets: tuple[TableReset, ...]) -> Table:
    return render.table(title, ("table", "rows"), [(each.table, each.rows) for each in resets])


def sample(rows: list[dict[str, Any]]) -> Table:
    """Rows of the cache, a line each."""
    return render.table("", list(rows[0]), [list(row.values()) for row in rows])


def stats(stats: CacheStats) -> RenderableType:
    """Both servers' view of the cache."""
    from rich.console import Group

    limit = f" of {formatting.bytes_text(stats.max_memory)}" if stats.max_memory else ", no limit"
    facts: dict[str, object] = {
        "generation": stats.generation if stats.generation is not None else "none",
        "age": "unknown" if stats.age is None else formatting.duration_text(stats.age),
        "next refresh": _next_refresh(stats.next_refresh),
        "Redis memory": "unknown"
        if stats.used_memory is None
        else f"{formatting.bytes_text(stats.used_memory)}{limit}",
        "eviction policy": stats.policy or "unknown",
    }
    if stats.evicts:
        facts["eviction policy"] = render.text(f"{stats.policy}: a full Redis evicts the whole cache", "yellow")
    sizes = [
        (each.table, each.cached, each.memory and formatting.bytes_text(each.memory), each.rows, each.never_cached)
        for each in stats.tables
    ]
    names = _ranges([each.under for each in stats.tables[0].ages])
    ages = list(zip(names, *([each.rows for each in table.ages] for table in stats.tables), strict=True))
    return Group(
        render.details("Cache", facts),
        render.table("Tables", ("table", "cached", "memory", "rows", "never cached"), sizes),
        render.table("Rows by time since last cached", ("ago", *(each.table for each in stats.tables)), ages),
    )


def _ranges(ends: list[str]) -> list[str]:
    """What lies between the upper ends of bins: `< 1 min`, `1–5 min` … `7 days and more`, for the last has none."""
    between = []
    for low, high in pairwise(ends[:-1]):
        (number, unit), (_, other) = low.split(), high.split()
        between.append(f"{number}–{high}" if unit.rstrip("s") == other.rstrip("s") else f"{low}–{high}")
    return [f"< {ends[0]}", *between, f"{ends[-2]} and more"]


def fairness(report: Fairness) -> RenderableType:
    """The bound beside the longest wait."""
    from rich.console import Group

    rows = [
        (
            each.table,
            each.rows,
            each.never_cached,
            "none" if each.bound is None else each.bound,
            "-" if each.worst_wait is None else each.worst_wait,
            "from the round log" if each.recorded else "estimated from timestamps",
            _verdict(each.holds),
        )
        for each in report.tables
    ]
    columns = ("table", "rows", "never cached", "bound", "worst wait", "counted", "verdict")
    return Group(render.table("Waits in rounds", columns, rows), render.text(reason(report.size, report.fresh), "dim"))


def simulation(played: Simulation) -> RenderableType:
    """The bound beside the longest simulated wait."""
    from rich.console import Group

    facts: dict[str, object] = {
        "rows at the start": played.rows,
        "newcomers a round": played.newcomers,
        "rounds": played.rounds,
        "bound": "none" if played.bound is None else played.bound,
        "longest wait to be cached again": played.worst_wait,
        "longest wait for the first time": played.worst_first_wait,
        "never cached at the end": played.backlog,
        "verdict": _verdict(played.holds),
    }
    return Group(render.details("Simulated", facts), render.text(reason(played.size, played.fresh), "dim"))


def reason(size: int, fresh: int) -> str:
    """Why a row waits no longer than the bound, or why there is none."""
    if fresh >= size:
        return f"All {size:,} rows of a round may be rows never cached before: the others have no bound."
    return (
        f"A round takes at least {size - fresh:,} of the rows cached longest ago, first in, first out. So a row waits"
        f" for ceil(rows / {size - fresh:,}) rounds at most; 2 more for a round under way and for rows of one stamp."
    )


def _verdict(holds: bool) -> object:
    return render.text("holds", "green") if holds else render.text("broken", "red")


def _next_refresh(seconds: float | None) -> str:
    if seconds is None:
        return "none planned"
    return (
        f"in {formatting.duration_text(seconds)}"
        if seconds >= 0
        else f"overdue by {formatting.duration_text(-seconds)}"
    )
