"""sesacctl produce."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import options, render
from sesacctl.cli.options import Output, OutputOption
from sesacctl.errors import CheckFailed

if TYPE_CHECKING:
    from rich.table import Table

    from sesacctl.pipeline.produce import ProduceReport

app = typer.Typer()


@app.command()
def produce(
    rate: Annotated[float, typer.Option(min=0, help="Orders per second; 0 is as fast as Kafka takes them.")] = 0,
    count: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many orders.", show_default="no end")
    ] = None,
    seconds: Annotated[
        float | None, options.duration_option("Stop after this time: 50, 30s, 10m or 2h.", "--duration")
    ] = None,
    carts: Annotated[str, typer.Option(help="Orders per cart: `3` or `1-10`.")] = "1",
    new_users: Annotated[float, typer.Option(min=0, help="New users per second.")] = 2.0,
    new_products: Annotated[float, typer.Option(min=0, help="New products per second.")] = 1.0,
    random_seed: Annotated[int | None, typer.Option(help="The same seed gives the same orders, but for ids.")] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Send orders made from the cached users and products to Kafka, every one acknowledged or reported.

    Example: sesacctl produce --rate 200 --duration 30s
    """
    plan_lines = _lines(carts)
    settings = options.begin()
    from sesacctl.cli.signals import stop_event
    from sesacctl.pipeline.produce import Plan, Producer

    plan = Plan(
        rate=rate,
        count=count,
        seconds=seconds,
        new_users_per_second=new_users,
        new_products_per_second=new_products,
        lines=plan_lines,
        random_seed=random_seed,
    )
    stop = stop_event()
    report = Producer(settings, plan).run(stop, on_report=_progress)
    render.show(report, output, _summary)
    if report.failed or report.in_flight:
        raise CheckFailed(
            f"{report.failed + report.in_flight} of {report.sent} events were not acknowledged: {report.first_failure}",
            hint="sesacctl health",
        )
    render.next_command("sesacctl consume --instances 9 --until-empty")


def _lines(carts: str) -> tuple[int, int]:
    fewest, _, most = carts.partition("-")
    try:
        lines = int(fewest), int(most or fewest)
    except ValueError:
        raise typer.BadParameter(f"'{carts}' is not a number or a range such as 1-10") from None
    if not 1 <= lines[0] <= lines[1]:
        raise typer.BadParameter(f"'{carts}': the fewest must be at least 1 and not more than the most")
    return lines


def _progress(report: ProduceReport) -> None:
    render.say(
        f"{report.seconds:.0f} s: {report.orders:,} orders, {report.rate:,.0f}/s, in flight {report.in_flight:,},"
        f" acknowledged {report.acknowledged:,}, failed {report.failed:,}"
    )


def _summary(report: ProduceReport) -> Table:
    return render.details(
        "Produced",
        {
            "orders": report.orders,
            "new users": report.new_users,
            "new products": report.new_products,
            "events sent": report.sent,
            "acknowledged": report.acknowledged,
            "failed": report.failed,
            "seconds": report.seconds,
            "orders/s": report.rate,
            "acknowledgement p50 / p99": f"{report.ack_p50_ms} / {report.ack_p99_ms} ms",
        },
    )
