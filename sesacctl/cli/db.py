"""`db init|migrate|downgrade|check|seed`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import render
from sesacctl.cli.options import Output, OutputOption, YesOption, begin, duration_option

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sesacctl.database.check import Report
    from sesacctl.database.init_db import Initialized
    from sesacctl.database.plan import Plan
    from sesacctl.database.seed import Seeded
    from sesacctl.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    help="Schema, migrations, checks and sample data.\n\nExample: sesacctl db init --with-seed",
)

WaitOption = Annotated[bool, typer.Option("--wait", help="Wait for the database instead of failing at once.")]
TimeoutOption = Annotated[float, duration_option("How long to wait.", "--timeout")]
LockOption = Annotated[float, duration_option("How long to wait for a lock on a table.", "--lock-timeout")]
SqlOption = Annotated[bool, typer.Option("--sql", help="Print the SQL; change nothing.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would run; change nothing.")]
# So that `-1` is a revision and not an option.
_RELATIVE = {"ignore_unknown_options": True}


@app.command()
def init(
    wait: WaitOption = False,
    timeout: TimeoutOption = 60.0,
    with_seed: Annotated[bool, typer.Option("--with-seed", help="Add sample data where there is none.")] = False,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create the schema, take over existing tables, or bring them up to date; no row is lost.

    Example: sesacctl db init --wait --with-seed
    """
    settings = begin()
    from sesacctl.database import database, init_db, seed

    location = database.locate(settings)
    if init_db.changes_existing(settings, wait_seconds=timeout if wait else None) and not location.is_local:
        render.confirm(f"Migrate database {location.database} on {location.address}?", yes=yes)
    with _seeding(seed.USERS, seed.PRODUCTS) as on_progress:
        result = init_db.initialize(settings, with_seed=with_seed, on_progress=on_progress)
    render.show(result, output, _init_table)
    render.next_command("sesacctl cache refresh" if with_seed else "sesacctl db seed")


@app.command(context_settings=_RELATIVE)
def migrate(
    revision: Annotated[str, typer.Argument(help="head, +1 or a revision.")] = "head",
    sql: SqlOption = False,
    dry_run: DryRunOption = False,
    lock_timeout: LockOption = 10.0,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Bring the schema up to a revision; asks first if the database is on another machine.

    Example: sesacctl db migrate --dry-run
    """
    _migrate(
        begin(), revision, downgrade=False, sql=sql, dry_run=dry_run, lock_timeout=lock_timeout, yes=yes, output=output
    )


@app.command(context_settings=_RELATIVE)
def downgrade(
    revision: Annotated[str, typer.Argument(help="-1, base or a revision.")],
    sql: SqlOption = False,
    dry_run: DryRunOption = False,
    lock_timeout: LockOption = 10.0,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Take the schema back to a revision; the tables that it did not have are dropped.

    Example: sesacctl db downgrade -1 --dry-run
    """
    _migrate(
        begin(), revision, downgrade=True, sql=sql, dry_run=dry_run, lock_timeout=lock_timeout, yes=yes, output=output
    )


def _migrate(
    settings: Settings,
    revision: str,
    *,
    downgrade: bool,
    sql: bool,
    dry_run: bool,
    lock_timeout: float,
    yes: bool,
    output: Output,
) -> None:
    from sesacctl.database import plan

    planned = plan.plan(settings, revision, downgrade=downgrade)
    if sql:
        for line in plan.sql(planned).splitlines():
            render.stdout.print(render.text(line), soft_wrap=True)
        return
    if not dry_run:
        if planned.steps and not planned.on_this_machine:
            for step in planned.steps:
                render.say(f"{step.revision}  {step.summary}")
            render.confirm(f"Run this on database {planned.database} on {planned.server}?", yes=yes)
        planned = plan.run(settings, planned, lock_seconds=lock_timeout)
    render.show(planned, output, _plan_table)


@app.command()
def check(wait: WaitOption = False, timeout: TimeoutOption = 60.0, output: OutputOption = Output.TABLE) -> None:
    """Look at connection, revision, drift, indexes and rows; exit 4, 5 or 6 if something is wrong.

    Example: sesacctl db check -o json
    """
    settings = begin()
    from sesacctl.database import check as checks

    report = checks.check(settings, wait_seconds=timeout if wait else None)
    render.show(report, output, _check_table)
    if error := checks.verdict(report):
        raise error


@app.command()
def seed(
    users: Annotated[int, typer.Option(min=0, help="How many users.")] = 10_000,
    products: Annotated[int, typer.Option(min=0, help="How many products.")] = 20_000,
    append: Annotated[bool, typer.Option("--append", help="Add to the rows that are there.")] = False,
    random_seed: Annotated[int, typer.Option(help="The same number makes the same rows.")] = 1,
    output: OutputOption = Output.TABLE,
) -> None:
    """Add sample users and products with Korean names; where there are rows already, only with --append.

    Example: sesacctl db seed --users 1000 --append
    """
    settings = begin()
    from sesacctl.database import seed as seeds
    from sesacctl.errors import AlreadySeeded

    try:
        with _seeding(users, products) as on_progress:
            result = seeds.seed(
                settings,
                users=users,
                products=products,
                append=append,
                random_seed=random_seed,
                on_progress=on_progress,
            )
    except AlreadySeeded as found:  # as with `db init`: the second time is no failure
        render.say(f"{found} ({found.hint})")
        result = seeds.Seeded(users=0, products=0, seconds=0.0, rows_per_second=0)
    render.show(result, output, _seed_table)
    render.next_command("sesacctl cache refresh")


@contextmanager
def _seeding(users: int, products: int) -> Iterator[Callable[[str, int], None]]:
    """A bar a table, with its rate, on a terminal; they appear with the first rows."""
    with render.progress() as bars:
        tasks = {
            table: bars.add_task(table, total=total, visible=False)
            for table, total in (("users", users), ("products", products))
        }

        def on_progress(table: str, rows: int) -> None:
            task = bars.tasks[tasks[table]]
            rate = f"{task.finished_speed or task.speed or 0:,.0f} rows/s"
            bars.update(task.id, completed=rows, visible=True, description=f"{table} {rate}")

        yield on_progress


def _init_table(result: Initialized) -> RenderableType:
    done = {
        "server": result.server,
        "database": f"{result.database} (created)" if result.created_database else result.database,
        "revision": result.revision if result.before else f"{result.revision} (was: {result.adopted or 'none'})",
    }
    if result.adopted:
        done["taken over at"] = result.adopted
    if result.seeded:
        done["sample rows"] = f"{result.seeded.users:,} users, {result.seeded.products:,} products"
    return render.details("Database", done)


def _plan_table(planned: Plan) -> RenderableType:
    where = f"{planned.database} on {planned.server}"
    if not planned.steps:
        return render.text(f"{where} is at {planned.current or 'base'}: nothing to do")
    state = ("undone" if planned.downgrade else "done") if planned.applied else "would run"
    title = f"{where}: {planned.current or 'base'} → {planned.target}"
    rows = [(step.revision, step.summary, state) for step in planned.steps]
    return render.table(title, ("revision", "what", "state"), rows)


def _check_table(report: Report) -> RenderableType:
    at_head = report.revision == report.head
    values = {
        "server": f"{report.server}, PostgreSQL {report.server_version}, {report.db_type}",
        "database": f"{report.database} as {report.user}",
        "latency": f"{report.latency_ms} ms",
        "TLS": report.tls,
        "transaction pooler": "yes" if report.pooler else "no",
        "revision": f"{report.revision or 'none'} ({'head' if at_head else f'head is {report.head}'})",
        "drift": "; ".join(report.drift) or ("none" if at_head else "not looked for"),
        "indexes missing": ", ".join(state.index for state in report.indexes if not state.present) or "none",
    }
    from sesacctl.database.row_security import describe

    if report.row_security:
        values["row-level security"] = describe(report.row_security)
    for count in report.tables:
        never = f", {count.never_cached:,} never cached" if count.never_cached is not None else ""
        values[count.table] = f"{'about ' if count.estimated else ''}{count.rows:,} rows{never}"
    return render.details("Database", values)


def _seed_table(result: Seeded) -> RenderableType:
    return render.details(
        "Sample rows",
        {
            "users": result.users,
            "products": result.products,
            "seconds": result.seconds,
            "rows a second": result.rows_per_second,
        },
    )
