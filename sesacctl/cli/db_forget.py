"""`db forget|prune`: what leaves the database by a person's decision, counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl import formatting
from sesacctl.cli import options, render
from sesacctl.cli.options import Output, OutputOption, YesOption

if TYPE_CHECKING:
    from datetime import datetime

    from rich.console import RenderableType

    from sesacctl.pipeline.audit.copies import KafkaCopies
    from sesacctl.pipeline.repair.forget import Certificate
    from sesacctl.pipeline.repair.prune import Pruned
    from sesacctl.settings import Settings

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show what would be erased; change nothing.")]


def forget(
    user_id: Annotated[str, typer.Argument(metavar="USER_ID", help="The id, as in `users`.")],
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Erase what is personal of one user, and print a certificate of it, for example as PIPA and GDPR ask for.

    In one transaction: the user's row and what orders hold of the user are emptied, dead letters lose their bytes,
    parked orders all that is personal; the user leaves the cache. The id stays as the key of the orders. What is still
    in Kafka is listed; consumed again, it is stored without anything personal. Backups and exports are not reached.

    Example: sesacctl db forget u_00000042 --dry-run
    """
    settings = options.begin(yes=None if dry_run else yes)
    from sesacctl.pipeline.repair import forget as service

    found = service.look(settings, user_id)
    if not dry_run:
        render.confirm(
            f"Erase user {user_id} and what {_orders(found.orders)} hold of them? It cannot be undone.", yes=yes
        )
        found = service.forget(settings, user_id)
    try:
        found = _with_copies(settings, found)
    finally:  # what is erased is said, whatever becomes of the look at Kafka
        render.show(found, output, _certificate)


def prune(
    older_than: Annotated[
        float,
        typer.Option(
            "--older-than",
            help="Orders made longer ago than this, such as 90d or 12h.",
            parser=options.duration,
            metavar="DURATION",
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show how many there are; delete nothing.")] = False,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Delete old orders in batches, by their time; `audit` knows how many, and stays clean.

    It can be ended at any time, and continues with the same command. An order that is consumed again after that comes
    back. Users and products stay.

    Example: sesacctl db prune --older-than 90d --dry-run
    """
    settings = options.begin(yes=None if dry_run else yes)
    from sesacctl.cli.signals import stop_event
    from sesacctl.pipeline.repair import prune as service

    found = service.look(settings, older_than)
    if found.orders and not dry_run:
        render.confirm(
            f"Delete {_orders(found.orders)} made before {formatting.time_text(found.made_before)}?", yes=yes
        )
        with render.progress() as bars:
            task = bars.add_task("orders", total=found.orders)
            found = service.prune(
                settings,
                found.made_before,
                stop=stop_event(),
                on_batch=lambda orders: bars.update(task, advance=orders),
            )
    render.show(found, output, _pruned)
    render.next_command("the same command again" if found.stopped else "sesacctl audit")


def _with_copies(settings: Settings, found: Certificate) -> Certificate:
    from sesacctl.pipeline.repair import forget as service

    with render.progress() as bars:
        task = bars.add_task("reading Kafka", total=None)
        return service.with_copies(
            settings, found, on_read=lambda done, total: bars.update(task, completed=done, total=total)
        )


def _orders(number: int) -> str:
    return formatting.plural(number, "order")


def _certificate(found: Certificate) -> RenderableType:
    from rich.console import Group

    state = "dry run: nothing was changed" if found.dry_run else f"erased at {_time(found.at)}"
    values: dict[str, object] = {"state": state}
    if found.forgotten_at:
        values["forgotten before, at"] = _time(found.forgotten_at)
    values |= {
        "user: all columns but the id": formatting.plural(found.user_row, "row"),
        "orders of the user": f"{found.orders:,}",
        "  region, gender, age group": f"of {found.orders_erased:,}",
        "parked orders, made anonymous": f"{found.parked:,}",
        "dead letters, bytes and detail": f"{found.dead_letters:,}",
        "cache": "taken out" if found.cached and not found.dry_run else "in it" if found.cached else "was not in it",
    }
    return Group(
        render.details(f"Certificate for user {found.user_id}", values),
        *_kafka(found),
        *map(render.text, found.notes),
    )


def _kafka(found: Certificate) -> list[RenderableType]:
    if found.kafka is None:
        return [render.text("Kafka could not be read: the same command again lists what is still there")]
    rows = [
        (
            f"{copies.topic}-{copies.partition}",
            copies.records,
            _offsets(copies),
            _time(copies.newest),
            _time(copies.expires) if copies.expires or not copies.records else copies.retention,
        )
        for copies in found.kafka
    ]
    columns = ("partition", "records", "offsets", "newest", "expire by about")
    return [render.table("Still in Kafka, with the user's key", columns, rows)]


def _offsets(copies: KafkaCopies) -> str:
    if len(copies.offsets) < copies.records:
        return f"{', '.join(map(str, copies.offsets[:10]))}, … {copies.last}"
    return ", ".join(map(str, copies.offsets))


def _time(at: datetime | None) -> str:
    return "" if at is None else formatting.time_text(at)


def _pruned(found: Pruned) -> RenderableType:
    state = (
        "dry run: nothing was changed" if found.dry_run else "stopped: there may be more" if found.stopped else "done"
    )
    return render.details(
        "Prune", {"orders made before": _time(found.made_before), "orders": found.orders, "state": state}
    )
