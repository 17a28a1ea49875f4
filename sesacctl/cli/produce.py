"""sesacctl produce."""

from __future__ import annotations

import re
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import advice, options, render, startup
from sesacctl.cli.help_style import DURATION
from sesacctl.cli.options import MetricsPortOption, Output, OutputOption, YesOption
from sesacctl.cli.startup import TimeoutOption, WaitOption
from sesacctl.errors import CheckFailed

if TYPE_CHECKING:
    from rich.table import Table

    from sesacctl.pipeline.produce.producer import ProducePlan, ProduceReport

app = typer.Typer()
_MOST_LINES = 100
_MOST_PER_SECOND = 1_000_000  # far more than can be made


def _per_second(value: float) -> float:
    if not 0 <= value <= _MOST_PER_SECOND:
        raise typer.BadParameter(f"{value:g} is not a number from 0 to {_MOST_PER_SECOND:,}")
    return value


def _lines(carts: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", carts, re.ASCII)
    if match is None:
        raise typer.BadParameter(f"'{carts}' is not a number or a range such as 1-10")
    fewest, most = int(match[1]), int(match[2] or match[1])
    if not 1 <= fewest <= most <= _MOST_LINES:
        raise typer.BadParameter(f"'{carts}' is not a range from 1 to {_MOST_LINES}, the smaller number first")
    return fewest, most


def _carts(value: str) -> str:
    _lines(value)
    return value


def _delivery_timeout(seconds: float) -> float:
    if seconds < 1:
        raise typer.BadParameter(f"{seconds:g} s is too short: at least 1 s")
    return seconds


def _rate_option(help_text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(help=help_text, callback=_per_second, metavar="NUMBER")
    return option


@app.command()
def produce(
    context: typer.Context,
    rate: Annotated[float, _rate_option("Orders per second; 0 is as fast as Kafka takes them.")] = 0,
    count: Annotated[
        int | None, typer.Option(min=1, max=options.MOST, help="Stop after this many orders.", show_default="no end")
    ] = None,
    seconds: Annotated[float | None, options.duration_option("Stop after this time.", "--duration")] = None,
    carts: Annotated[
        str, typer.Option(help="Orders per cart: 3, or 1-10 for a random number.", metavar="NUMBER", callback=_carts)
    ] = "1",
    new_users: Annotated[float, _rate_option("New users per second.")] = 2.0,
    new_products: Annotated[float, _rate_option("New products per second.")] = 1.0,
    random_seed: Annotated[
        int | None,
        typer.Option(min=0, max=options.LONG, help="Seed: same seed and cache, same orders (except ids and times)."),
    ] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="File in which to record sent and acknowledged events, for audit --ledger.")
    ] = None,
    delivery_timeout: Annotated[
        float,
        typer.Option(
            help="How long Kafka may take to acknowledge an event.",
            parser=options.duration,
            callback=_delivery_timeout,
            metavar=DURATION,
        ),
    ] = 120.0,
    wait: WaitOption = False,
    timeout: TimeoutOption = startup.WAIT_SECONDS,
    metrics_port: MetricsPortOption = None,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Send orders made from the cached users and products to Kafka, every one acknowledged or reported.

    Example: sesacctl produce --rate 200 --duration 30s
    """
    settings = options.begin(yes=yes)
    seconds_to_wait = startup.seconds_to_wait(context, settings, wait=wait, timeout=timeout)
    from sesacctl.cli.signals import stop_event
    from sesacctl.pipeline.produce import prerequisites
    from sesacctl.pipeline.produce.producer import ProducePlan, Producer
    from sesacctl.pipeline.watch.metric_families import of_produce
    from sesacctl.pipeline.watch.pages import page

    plan = ProducePlan(
        rate=rate,
        count=count,
        seconds=seconds,
        new_users_per_second=new_users,
        new_products_per_second=new_products,
        lines=_lines(carts),
        random_seed=random_seed,
        ledger=ledger,
        delivery_seconds=delivery_timeout,
    )
    with page(metrics_port, host=settings.sesac_metrics_host) as shown:
        require = partial(prerequisites.require, settings)
        if not startup.wait_for(require, settings, seconds_to_wait, loop="produce", page=shown):
            return
        stop = stop_event()
        with closing(Producer(settings, plan)) as producer:
            shown.ready_unless(producer.problem)

            def on_report(report: ProduceReport) -> None:
                shown.publish(of_produce(report, producer.acknowledgements()))
                show(report)

            try:
                with render.reporting(output, lambda report: screen(report, plan), _line) as show:
                    producer.run(stop, on_report=on_report, interval=render.report_seconds())
            finally:
                report = producer.report()
                render.show(report, output, _summary)
    _check(report)
    render.next_command(advice.store_the_rest(settings))


def _check(report: ProduceReport) -> None:
    if lost := report.failed + report.in_flight:
        raise CheckFailed(
            f"{lost:,} of {report.sent:,} events were not acknowledged: {report.first_failure or 'stopped too early'}",
            hint="sesacctl health",
        )
    if report.refused:
        raise CheckFailed(f"{report.refused:,} events were too large to be sent", hint="sesacctl cache sample users")


def _line(report: ProduceReport) -> str:
    waiting = f", waiting for {report.waiting_for}" if report.waiting_for else ""
    return (
        f"{report.seconds:.0f} s: {report.orders:,} orders, {report.rate_now:,.0f}/s, in flight {report.in_flight:,},"
        f" acknowledged {report.acknowledged:,}, failed {report.failed:,},"
        f" p99 {_milliseconds(report.ack_p99_ms)}{waiting}"
    )


def screen(report: ProduceReport, plan: ProducePlan) -> Table:
    """The live screen."""
    count = f" of {plan.count:,}" if plan.count else ""
    time = f" of {plan.seconds:g} s" if plan.seconds else ""
    wanted = f"{plan.rate:,.6g} orders/s wanted" if plan.rate else "as fast as Kafka takes them"
    values = {
        "orders": f"{report.orders:,}{count}",
        "orders/s": f"{report.rate_now:,.0f} now, {report.rate:,.0f} on average; {wanted}",
        "acknowledged": f"{report.acknowledged:,}",
        "in flight": f"{report.in_flight:,}",
        "failed": render.text(report.failed, "bold red" if report.failed else ""),
        "acknowledged within": f"p50 {_milliseconds(report.ack_p50_ms)}, p99 {_milliseconds(report.ack_p99_ms)}",
        "of that": _shares(report),
        "new users, products": f"{report.new_users:,}, {report.new_products:,}",
        "time": f"{report.seconds:.0f} s{time}",
        "waiting for": render.text(report.waiting_for or "nothing", "yellow" if report.waiting_for else ""),
    }
    return render.details("Producing", values)


def _summary(report: ProduceReport) -> Table:
    values = {
        "orders": report.orders,
        "new users": report.new_users,
        "new products": report.new_products,
        "events sent": report.sent,
        "acknowledged": report.acknowledged,
        "failed": report.failed,
        "in flight": report.in_flight,
        "too large": report.refused,
        "seconds": report.seconds,
        "orders/s": report.rate,
        "acknowledged within": f"p50 {_milliseconds(report.ack_p50_ms)}, p99 {_milliseconds(report.ack_p99_ms)}",
        "of that": _shares(report),
    }
    return render.details("Produced", values)


def _shares(report: ProduceReport) -> str:
    if report.linger_ms is None or report.broker_ms is None:
        return "–"
    return f"on average {report.linger_ms:,.1f} ms linger, {report.broker_ms:,.1f} ms brokers"


def _milliseconds(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f} ms"
