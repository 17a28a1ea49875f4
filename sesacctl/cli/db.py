"""`db init|migrate|downgrade|check|seed`, and the table of all `db` commands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import db_dump, db_forget, db_views, render
from sesacctl.cli.options import LONG, MOST, Output, OutputOption, YesOption, begin, duration_option

if TYPE_CHECKING:
    from sesacctl.database.schema.dependants import Dependant
    from sesacctl.settings import Settings

app = typer.Typer(
    no_args_is_help=True,
    help="Schema, migrations, checks, sample data, and what a database keeps.\n\nExample: sesacctl db init --with-seed",
)

WaitOption = Annotated[bool, typer.Option("--wait", help="Wait for the database instead of failing at once.")]
TimeoutOption = Annotated[float, duration_option("How long to wait.", "--timeout")]
LockOption = Annotated[float, duration_option("How long to wait for a lock on a table.", "--lock-timeout")]
SqlOption = Annotated[bool, typer.Option("--sql", help="Print the SQL; change nothing.")]
TimestampsOption = Annotated[
    str | None,
    typer.Option(
        "--timestamps-in",
        help="Time zone of the times of old tables that have none, such as Asia/Seoul.",
        metavar="ZONE",
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would run; change nothing.")]
# So that `-1` is a revision and not an option.
_RELATIVE = {"ignore_unknown_options": True}


@app.command()
def init(
    wait: WaitOption = False,
    timeout: TimeoutOption = 60.0,
    with_seed: Annotated[bool, typer.Option("--with-seed", help="Add sample data where there is none.")] = False,
    dry_run: DryRunOption = False,
    timestamps_in: TimestampsOption = None,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Create the schema, take over existing tables, or bring them up to date; no row is lost.

    Example: sesacctl db init --wait --with-seed
    """
    settings = begin(yes=None if dry_run else yes)
    from sesacctl.database import database, init_db
    from sesacctl.database.samples import seed

    location = database.locate(settings)
    state = init_db.look(settings, wait_seconds=timeout if wait else None)
    if dry_run:
        preview = init_db.preview(settings, timestamps_in=timestamps_in)
        render.show(preview, output, db_views.init_table)
        _require_free(preview.dependants, command="sesacctl db init")
        return
    zone = _zone(state.without_zone, timestamps_in, state.server_zone, yes=yes)
    if init_db.changes_existing(state) and not location.is_local:
        render.confirm(f"Migrate database {location.database} on {location.address}?", yes=yes)
    with _seeding(seed.USERS, seed.PRODUCTS) as on_progress:
        result = init_db.initialize(settings, with_seed=with_seed, timestamps_in=zone, on_progress=on_progress)
    render.show(result, output, db_views.init_table)
    render.next_command("sesacctl cache refresh" if with_seed else "sesacctl db seed")


@app.command(context_settings=_RELATIVE)
def migrate(
    revision: Annotated[str, typer.Argument(help="head, +1 or a revision.")] = "head",
    sql: SqlOption = False,
    dry_run: DryRunOption = False,
    lock_timeout: LockOption = 10.0,
    timestamps_in: TimestampsOption = None,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Bring the schema up to a revision; asks first if the database is on another machine.

    Example: sesacctl db migrate --dry-run
    """
    _migrate(
        begin(yes=None if dry_run or sql else yes),
        revision,
        downgrade=False,
        sql=sql,
        dry_run=dry_run,
        lock_timeout=lock_timeout,
        timestamps_in=timestamps_in,
        yes=yes,
        output=output,
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
        begin(yes=None if dry_run or sql else yes),
        revision,
        downgrade=True,
        sql=sql,
        dry_run=dry_run,
        lock_timeout=lock_timeout,
        yes=yes,
        output=output,
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
    timestamps_in: str | None = None,
) -> None:
    from sesacctl.database.schema import plan

    planned = plan.plan(settings, revision, downgrade=downgrade, timestamps_in=timestamps_in)
    if sql:
        for line in plan.sql(planned).splitlines():
            render.stdout.print(render.text(line), soft_wrap=True)
        return
    if not dry_run:
        zone = _zone(planned.timestamps, timestamps_in, planned.server_zone, yes=yes)
        planned = replace(planned, timestamps_in=zone)
        if planned.steps and not planned.on_this_machine:
            for step in planned.steps:
                render.say(f"{step.revision}  {step.summary}")
            render.confirm(f"Run this on database {planned.database} on {planned.server}?", yes=yes)
        planned = plan.run(settings, planned, lock_seconds=lock_timeout)
    render.show(planned, output, db_views.plan_table)
    _require_free(planned.dependants, command=f"sesacctl db {'downgrade' if downgrade else 'migrate'}")


def _require_free(found: Sequence[Dependant], *, command: str) -> None:
    """Show the SQL that moves aside what is in the way, and end."""
    from sesacctl.database.schema.dependants import require_none, script

    for line in script(found).splitlines() if found else ():
        render.say(line)
    require_none(found, command=command)


def _zone(columns: Sequence[str], given: str | None, server_zone: str, *, yes: bool) -> str | None:
    """The zone of times that have none: the option's, or the answer of somebody on a terminal."""
    if given is not None or not columns or yes:
        return given
    return render.ask(f"{', '.join(columns)}: in which time zone were these times written?", default=server_zone)


@app.command()
def check(wait: WaitOption = False, timeout: TimeoutOption = 60.0, output: OutputOption = Output.TABLE) -> None:
    """Check connection, revision, drift, indexes and rows; exit 4, 5 or 6 if something is wrong.

    Example: sesacctl db check -o json
    """
    settings = begin()
    from sesacctl.database.schema import check as checks

    report = checks.check(settings, wait_seconds=timeout if wait else None)
    render.show(report, output, db_views.check_table)
    if error := checks.verdict(report):
        raise error


@app.command()
def seed(
    users: Annotated[int, typer.Option(min=0, max=MOST, help="How many users.")] = 10_000,
    products: Annotated[int, typer.Option(min=0, max=MOST, help="How many products.")] = 20_000,
    append: Annotated[bool, typer.Option("--append", help="Add to the rows that are there.")] = False,
    random_seed: Annotated[int, typer.Option(min=0, max=LONG, help="Seed: same seed, same rows.")] = 1,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Add sample users and products with Korean names; where there are rows already, only with --append.

    Example: sesacctl db seed --users 1000 --append
    """
    settings = begin(yes=yes)
    from sesacctl.database.samples import seed as seeds
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
    except AlreadySeeded as found:  # as with `db init`: the second time is not a failure
        render.say(f"{found} ({found.hint})")
        result = seeds.Seeded(users=0, products=0, seconds=0.0, rows_per_second=0)
    render.show(result, output, db_views.seed_table)
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


for each in (db_forget.forget, db_forget.prune, db_dump.dump, db_dump.restore):
    app.command()(each)
