"""sesacctl demo."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sesacctl.cli import options, render
from sesacctl.cli.options import Output, OutputOption
from sesacctl.errors import CheckFailed, SesacctlError

if TYPE_CHECKING:
    import threading

    from rich.console import RenderableType

    from sesacctl.pipeline.demo import DemoResult
    from sesacctl.settings import Settings

app = typer.Typer()


@app.command()
def demo(
    orders: Annotated[int, typer.Option(min=1, max=100_000_000, help="How many orders to produce.")] = 20_000,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the local servers running.")] = False,
    show: Annotated[
        bool, typer.Option("--dashboard", help="Show it in a browser meanwhile, and on a terminal until Ctrl-C.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Run the whole loop on the local servers, starting them if need be, and end with the audit. Exits 5 on a loss.

    Examples: sesacctl demo --keep · sesacctl demo --dashboard
    """
    mirror = options.begin(servers=False, sesac_log_level="warning").sesac_maven_mirror
    from sesacctl.cli.signals import stop_event
    from sesacctl.pipeline.demo import demo as demo_service
    from sesacctl.settings import home
    from sesacctl.stack import stack

    stop = stop_event()
    if show:
        from sesacctl.dashboard.server import require

        require()
    with render.steps("demo") as on_step:
        started = stack.up(home(), mirror=mirror, on_step=on_step).started
        try:
            # The servers of this stack, not those that the environment or `.env` names.
            servers: dict[str, Any] = {name.lower(): value for name, value in stack.environment(home()).items()}
            settings = options.begin(sesac_log_level="warning", redis_db=0, **servers)
            with _shown(settings, on_step, stop) if show else nullcontext():
                result = demo_service(settings, orders=orders, stop=stop, on_step=on_step)
        except SesacctlError as error:
            error.hint = _after(error.hint, running=keep or not started)
            raise
        finally:
            if started and not keep:
                stack.down(home(), on_step=on_step)
    render.show(result, output, _summary)
    if not result.ok:
        wrong = f"{result.missing} orders are missing, {result.duplicated} duplicated"
        if not result.missing and not result.duplicated:  # something from before this run
            wrong = "every order of this run is stored once, but the audit found something else"
        raise CheckFailed(wrong, hint=_after("sesacctl audit", running=keep or not started))
    render.next_command("sesacctl health" if keep or not started else "sesacctl up")


@contextmanager
def _shown(settings: Settings, on_step: Callable[[str], None], stop: threading.Event) -> Iterator[None]:
    """Have the loop in a browser during the block and, where a person can look, after it until `stop`."""
    from sesacctl.cli.dashboard import open_browser
    from sesacctl.dashboard.server import serving_anywhere

    with serving_anywhere(settings) as address:
        render.say(f"dashboard on {address.url}")
        if render.can_ask():
            open_browser(address.url)
        yield
        if render.can_ask():
            on_step(f"done: look around on {address.url}; Ctrl-C ends the demo")
            stop.wait()


def _after(hint: str | None, *, running: bool) -> str | None:
    """The hint, for servers that were stopped as well."""
    return hint if running or not (hint or "").startswith("sesacctl ") else f"sesacctl up, then {hint}"


def _summary(result: DemoResult) -> RenderableType:
    from rich.console import Group

    stages = render.table(
        "The loop",
        ("stage", "count", "unit", "seconds", "per second"),
        [(stage.stage, stage.count, stage.unit, stage.seconds, round(stage.rate)) for stage in result.stages],
    )
    instances = render.table(
        "Consumers",
        ("instance", "partitions", "events stored"),
        [(share.instance, ", ".join(share.partitions), share.stored) for share in result.instances],
    )
    sharing = sum(any("orders-" in name for name in share.partitions) for share in result.instances)
    lines = [
        f"{sharing} instances, each with at least one partition of orders",
        f"record to COMMIT: p50 {result.latency_p50_ms} ms, p99 {result.latency_p99_ms} ms",
        f"orders produced {result.orders_produced:,} = stored {result.orders_stored:,}, {result.missing} missing,"
        f" {result.duplicated} duplicated",
    ]
    if not result.ok:
        lines[-1] = lines[-1].replace(" = ", " ≠ ")
    return Group(stages, instances, *(render.text(line, "bold") for line in lines))
