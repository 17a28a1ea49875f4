"""`cache refresh|stats|sample|reset-aging|fairness`."""

from __future__ import annotations

from enum import StrEnum
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from sesacctl import formatting
from sesacctl.cache.rows import FRESH, SIZE
from sesacctl.cli import cache_views, render, startup
from sesacctl.cli.options import (
    MOST,
    MetricsPortOption,
    Output,
    OutputOption,
    YesOption,
    begin,
    duration_option,
    given,
)
from sesacctl.cli.startup import TimeoutOption, WaitOption
from sesacctl.errors import CheckFailed, UsageError

if TYPE_CHECKING:
    from sesacctl.cache.rows import Table
    from sesacctl.pipeline.refresh.fairness import Fairness
    from sesacctl.pipeline.refresh.simulation import Simulation

app = typer.Typer(
    no_args_is_help=True, help="The cache worker and its controls.\n\nExample: sesacctl cache refresh --loop 50"
)
MOST_CACHED = 100_000
_PLAY = ("rows", "newcomers", "rounds", "size", "fresh")


class OneTable(StrEnum):
    """A cached table."""

    USERS = "users"
    PRODUCTS = "products"


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
    context: typer.Context,
    loop: Annotated[float | None, duration_option("Refresh repeatedly, this often.", "--loop")] = None,
    size: Annotated[int, typer.Option(min=1, max=MOST_CACHED, help="Rows of each table to cache.")] = SIZE,
    fresh: Annotated[
        int, typer.Option(min=0, max=MOST_CACHED, help="How many of them are kept for rows never cached before.")
    ] = FRESH,
    tables: Annotated[Which, typer.Option(help="What to cache.")] = Which.ALL,
    wait: WaitOption = False,
    timeout: TimeoutOption = startup.WAIT_SECONDS,
    metrics_port: MetricsPortOption = None,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Put rows from PostgreSQL into Redis: rows never cached, and the least recently cached ones.

    Examples: sesacctl cache refresh · sesacctl cache refresh --loop 50
    """
    _check_shares(size, fresh)
    settings = begin(yes=yes)
    seconds = startup.seconds_to_wait(context, settings, wait=wait, timeout=timeout)
    from sesacctl.cli.signals import stop_event
    from sesacctl.pipeline.refresh import prerequisites
    from sesacctl.pipeline.refresh.figures import RefreshResult
    from sesacctl.pipeline.refresh.worker import Refresher
    from sesacctl.pipeline.watch.metric_families import of_refresh
    from sesacctl.pipeline.watch.pages import page

    with page(metrics_port if loop else None, host=settings.sesac_metrics_host) as shown:
        require = partial(prerequisites.require, settings)
        if not startup.wait_for(require, settings, seconds, loop="cache-refresh", page=shown):
            return
        with Refresher(settings, size=size, fresh=fresh, tables=tables.tables) as refresher:
            if loop is None:
                result = refresher.run_once()
                render.show(result, output, cache_views.refresh)
                render.next_command("sesacctl db seed" if result.found_nothing else "sesacctl topics init")
                return
            shown.ready_unless(refresher.problem)
            shown.show(lambda: of_refresh(refresher.figures))

            def on_round(result: RefreshResult) -> None:
                if output is not Output.TABLE:
                    render.show(result, Output.JSONL, str)

            began = monotonic()
            try:
                refresher.run(stop_event(), loop, on_round=on_round)
            finally:
                if output is Output.TABLE and any(refresher.figures.rounds.values()):
                    render.stdout.print(cache_views.loop(refresher.figures, monotonic() - began))


@app.command()
def stats(
    watch: Annotated[float | None, duration_option("Refresh interval.", "--watch")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the cache's size, generation and age, and the time since its rows were last cached.

    Example: sesacctl cache stats --watch 5
    """
    settings = begin()
    from sesacctl.cli.signals import stop_event
    from sesacctl.pipeline.refresh.stats import read_stats

    if watch is None:
        render.show(read_stats(settings), output, cache_views.stats)
    else:
        render.watch(lambda: read_stats(settings), watch, stop_event(), output, cache_views.stats)


@app.command()
def sample(
    which: Annotated[OneTable, typer.Argument(help="Which rows.")],
    n: Annotated[int, typer.Option("-n", min=1, max=MOST_CACHED, help="How many.")] = 1,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show random rows of the cache, as the producer draws them.

    Example: sesacctl cache sample users -n 3
    """
    settings = begin()
    from sesacctl.cache.client import CacheReader, connect

    rows: list[Any] = CacheReader(connect(settings)).sample(which.value, n)
    render.show(rows, output, cache_views.sample)


@app.command()
def fairness(
    context: typer.Context,
    simulate: Annotated[bool, typer.Option("--simulate", help="Simulate rounds in memory; contact no server.")] = False,
    rows: Annotated[int, typer.Option(min=0, max=MOST, help="Rows at the start of the simulation.")] = 10_000,
    newcomers: Annotated[int, typer.Option(min=0, max=MOST, help="New rows before each simulated round.")] = 0,
    rounds: Annotated[int, typer.Option(min=1, max=100_000, help="Rounds to simulate.")] = 1000,
    size: Annotated[int, typer.Option(min=1, max=MOST, help="Rows that a simulated round caches.")] = SIZE,
    fresh: Annotated[
        int, typer.Option(min=0, max=MOST, help="How many of them are kept for rows never cached.")
    ] = FRESH,
    output: OutputOption = Output.TABLE,
) -> None:
    """Show the longest wait of a row, in rounds, and its bound; exit 5 if that is exceeded.

    Examples: sesacctl cache fairness · sesacctl cache fairness --simulate --rows 5000000 --newcomers 300
    """
    if not simulate and (option := given(context, *_PLAY)):
        raise UsageError(f"{option} requires --simulate", hint="sesacctl cache fairness --simulate")
    settings = begin(servers=not simulate)
    if simulate:
        from sesacctl.pipeline.refresh import simulation

        _check_shares(size, fresh)
        played = simulation.simulate(rows=rows, newcomers=newcomers, rounds=rounds, size=size, fresh=fresh)
        render.show(played, output, cache_views.simulation)
        problem = _simulated_problem(played)
    else:
        from sesacctl.pipeline.refresh.fairness import read_fairness

        seen = read_fairness(settings)
        render.show(seen, output, cache_views.fairness)
        problem = _problem(seen)
    if problem:
        raise CheckFailed(problem, hint="sesacctl cache stats")


@app.command("reset-aging")
def reset_aging(
    which: Annotated[Which, typer.Argument(help="What to reset.")] = Which.ALL,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show how many rows would be reset; change nothing.")
    ] = False,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Treat all rows as never cached, in small transactions that stop neither orders nor refreshes for long.

    Example: sesacctl cache reset-aging users --dry-run
    """
    settings = begin(yes=None if dry_run else yes)
    from sesacctl.cli.signals import stop_event
    from sesacctl.events import CODECS, Kind
    from sesacctl.pipeline.refresh import statement as aging

    planned = aging.reset_aging(settings, which.tables, dry_run=True)
    if dry_run:
        render.show(planned, output, cache_views.planned_reset)
        return
    rows = ", ".join(formatting.plural(plan.rows, CODECS[Kind(plan.table)].field) for plan in planned)
    render.confirm(f"Treat {rows} as never cached?", yes=yes)
    with render.progress() as progress:
        tasks = {plan.table: progress.add_task(plan.table, total=plan.rows) for plan in planned}
        done = aging.reset_aging(
            settings,
            which.tables,
            stop=stop_event(),
            on_batch=lambda table, count: progress.advance(tasks[table], count),
        )
    render.show(done, output, cache_views.reset)


def _problem(seen: Fairness) -> str:
    if seen.fresh >= seen.size:
        return cache_views.reason(seen.size, seen.fresh)
    return ", ".join(
        f"a row of {each.table} has waited for {formatting.plural(each.worst_wait or 0, 'round')},"
        f" the bound is {each.bound:,}"
        for each in seen.tables
        if not each.holds
    )


def _simulated_problem(played: Simulation) -> str:
    if played.holds:
        return ""
    if played.newcomers > played.fresh:
        return (
            f"{formatting.plural(played.newcomers, 'new row')} a round are more"
            f" than the {played.fresh:,} kept for them:"
            f" {played.backlog:,} were never cached at the end"
        )
    return cache_views.reason(played.size, played.fresh)


def _check_shares(size: int, fresh: int) -> None:
    if fresh > size:
        raise typer.BadParameter(f"{fresh} is more than --size {size}", param_hint="--fresh")
