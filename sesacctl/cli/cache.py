"""`cache refresh|stats|reset-aging`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, cast

import typer

from sesacctl.cli import render
from sesacctl.cli.options import Output, OutputOption, YesOption, begin, duration_option

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table as Grid

    from sesacctl.cache.rows import Table
    from sesacctl.pipeline.aging import TableReset
    from sesacctl.pipeline.cache_stats import CacheStats
    from sesacctl.pipeline.refresh import RefreshResult

app = typer.Typer(no_args_is_help=True, help="The cache worker and its controls.")


class Which(StrEnum):
    """One table or both."""

    USERS = "users"
    PRODUCTS = "products"
    ALL = "all"

    @property
    def tables(self) -> tuple[Table, ...]:
        """Their names."""
        names = ("users", "products") if self is Which.ALL else (self.value,)
        return cast("tuple[Table, ...]", names)


@app.command()
def refresh(
    loop: Annotated[float | None, duration_option("Refresh again and again, this often.", "--loop")] = None,
    size: Annotated[int, typer.Option(min=1, max=100_000, help="Rows of each table to cache.")] = 1000,
    fresh: Annotated[int, typer.Option(min=0, help="How many of them are kept for rows never cached before.")] = 500,
    tables: Annotated[Which, typer.Option(help="What to cache.")] = Which.ALL,
    output: OutputOption = Output.TABLE,
) -> None:
    """Put rows from PostgreSQL into Redis: those never cached, and those whose last turn is longest ago.

    Examples: sesacctl cache refresh · sesacctl cache refresh --loop 50
    """
    if fresh > size:
        raise typer.BadParameter(f"{fresh} is more than --size {size}", param_hint="--fresh")
    settings = begin()
    from sesacctl.cli.signals import stop_event
    from sesacctl.pipeline.refresh import Refresher

    with Refresher(settings, size=size, fresh=fresh, tables=tables.tables) as refresher:
        if loop is None:
            render.show(refresher.run_once(), output, _refresh_table)
            return
        show = output is not Output.TABLE
        refresher.run(
            stop_event(), loop, on_round=lambda result: render.show(result, Output.JSONL, str) if show else None
        )


@app.command()
def stats(output: OutputOption = Output.TABLE) -> None:
    """Show the cache's size, generation and age, and how long ago the rows had their turn."""
    settings = begin()
    from sesacctl.pipeline.cache_stats import read_stats

    render.show(read_stats(settings), output, _stats_view)


@app.command("reset-aging")
def reset_aging(
    which: Annotated[Which, typer.Argument(help="What to reset.")] = Which.ALL,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many rows it would be.")] = False,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Count all rows as never cached, in small transactions that stop neither orders nor refreshes for long."""
    settings = begin()
    from sesacctl.cli.signals import stop_event
    from sesacctl.pipeline import aging

    planned = aging.reset_aging(settings, which.tables, dry_run=True)
    if dry_run:
        render.show(planned, output, _reset_table)
        return
    rows = ", ".join(f"{plan.rows:,} {plan.table}" for plan in planned)
    render.confirm(f"Count {rows} as never cached?", yes=yes)
    with render.progress() as progress:
        tasks = {plan.table: progress.add_task(plan.table, total=plan.rows) for plan in planned}
        done = aging.reset_aging(
            settings,
            which.tables,
            stop=stop_event(),
            on_batch=lambda table, count: progress.advance(tasks[table], count),
        )
    render.show(done, output, _reset_table)


def _refresh_table(result: RefreshResult) -> RenderableType:
    if result.skipped:
        return render.text("Skipped: another worker is refreshing.")
    rows = [(table.table, table.fresh, table.aged, table.fresh + table.aged) for table in result.tables]
    title = f"Generation {result.generation}, {result.seconds:.3f} s" if result.generation else "Nothing to cache"
    return render.table(title, ("table", "never cached before", "longest ago", "cached"), rows)


def _reset_table(resets: tuple[TableReset, ...]) -> Grid:
    return render.table("Reset", ("table", "rows"), [(reset.table, reset.rows) for reset in resets])


def _stats_view(stats: CacheStats) -> RenderableType:
    from rich.console import Group

    facts: dict[str, object] = {
        "generation": stats.generation if stats.generation is not None else "none",
        "age": _seconds(stats.age),
        "next refresh": "none planned" if stats.next_refresh is None else f"in {_seconds(stats.next_refresh)}",
        "Redis memory": f"{stats.used_memory:,} of {stats.max_memory or 'unlimited'} bytes",
        "eviction policy": f"{stats.policy}: a full Redis drops the cache" if stats.evicts else stats.policy,
    }
    if stats.next_refresh is not None and stats.next_refresh < 0:
        facts["next refresh"] = f"overdue by {_seconds(-stats.next_refresh)}"
    sizes = [(t.table, t.cached, t.memory, t.rows, t.never_cached) for t in stats.tables]
    bins = [bin_.under for bin_ in stats.tables[0].ages]
    ages = [(name, *(table.ages[n].rows for table in stats.tables)) for n, name in enumerate(bins)]
    return Group(
        render.details("Cache", facts),
        render.table("Tables", ("table", "cached", "bytes", "rows", "never cached"), sizes),
        render.table("Last turn less than … ago", ("", *(table.table for table in stats.tables)), ages),
    )


def _seconds(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f} s"
