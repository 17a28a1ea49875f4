"""The tables of the `cache` commands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sesacctl.cli import render

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from sesacctl.pipeline.aging import TableReset
    from sesacctl.pipeline.cache_stats import CacheStats
    from sesacctl.pipeline.fairness import Fairness
    from sesacctl.pipeline.refresh import RefreshResult
    from sesacctl.pipeline.simulation import Simulation


def refresh(result: RefreshResult) -> RenderableType:
    """One round."""
    if result.skipped:
        return render.text("Skipped: another refresh, or a reset, is under way.")
    rows = [(table.table, table.fresh, table.aged, table.fresh + table.aged) for table in result.tables]
    title = f"Generation {result.generation}, {result.seconds:.3f} s" if result.generation else "Nothing to cache"
    return render.table(title, ("table", "never cached before", "longest ago", "cached"), rows)


def reset(resets: tuple[TableReset, ...]) -> Table:
    """Rows that count as never cached."""
    return render.table("Never cached from now on", ("table", "rows"), [(each.table, each.rows) for each in resets])


def sample(rows: list[dict[str, Any]]) -> Table:
    """Rows of the cache, a line each."""
    return render.table("", list(rows[0]), [list(row.values()) for row in rows])


def stats(stats: CacheStats) -> RenderableType:
    """Both servers' view of the cache."""
    from rich.console import Group

    limit = f"{stats.max_memory:,}" if stats.max_memory else "unlimited"
    facts: dict[str, object] = {
        "generation": stats.generation if stats.generation is not None else "none",
        "age": "unknown" if stats.age is None else f"{stats.age:,.0f} s",
        "next refresh": _next_refresh(stats.next_refresh),
        "Redis memory": f"{stats.used_memory:,} of {limit} bytes",
        "eviction policy": stats.policy,
    }
    if stats.evicts:
        facts["eviction policy"] = render.text(f"{stats.policy}: a full Redis drops the whole cache", "yellow")
    sizes = [(each.table, each.cached, each.memory, each.rows, each.never_cached) for each in stats.tables]
    ages = [
        (bins[0].under, *(each.rows for each in bins)) for bins in zip(*(t.ages for t in stats.tables), strict=True)
    ]
    return Group(
        render.details("Cache", facts),
        render.table("Tables", ("table", "cached", "bytes", "rows", "never cached"), sizes),
        render.table("Rows by their last turn", ("less than … ago", *(each.table for each in stats.tables)), ages),
    )


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
            "every round was noted" if each.recorded else "by the stamps",
            _verdict(each.holds),
        )
        for each in report.tables
    ]
    columns = ("table", "rows", "never cached", "bound", "worst wait", "counted", "verdict")
    return Group(render.table("Waits in rounds", columns, rows), render.text(_reason(report.size, report.fresh), "dim"))


def simulation(played: Simulation) -> RenderableType:
    """The bound beside the longest simulated wait."""
    from rich.console import Group

    facts: dict[str, object] = {
        "rows at the start": played.rows,
        "newcomers a round": played.newcomers,
        "rounds": played.rounds,
        "bound": "none" if played.bound is None else played.bound,
        "worst wait for another turn": played.worst_wait,
        "worst wait for the first turn": played.worst_first_wait,
        "never cached at the end": played.backlog,
        "verdict": _verdict(played.holds),
    }
    return Group(render.details("Simulated", facts), render.text(_reason(played.size, played.fresh), "dim"))


def _reason(size: int, fresh: int) -> str:
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
    return f"in {seconds:,.0f} s" if seconds >= 0 else f"overdue by {-seconds:,.0f} s"
