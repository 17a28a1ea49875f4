"""`--wait` of the loops: what they need may come later than they do."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import options
from sesacctl.errors import UsageError

if TYPE_CHECKING:
    from sesacctl.pipeline.watch.pages import Page
    from sesacctl.settings import Settings

WAIT_SECONDS = 60.0

WaitOption = Annotated[bool, typer.Option("--wait", help="Wait for what is not there yet instead of failing at once.")]
TimeoutOption = Annotated[float, options.duration_option("How long to wait.", "--timeout")]


def seconds_to_wait(context: typer.Context, settings: Settings, *, wait: bool, timeout: float) -> float | None:
    """How long to wait at the start; None: not at all. `SESAC_WAIT` stands for both options where neither is given.

    Raises:
        UsageError: there is a time to wait, and nothing says to wait.
    """
    usual = options.duration(settings.sesac_wait) if settings.sesac_wait else None
    if options.given(context, "timeout"):
        if not wait and usual is None:
            hint = f"sesacctl {context.command_path.partition(' ')[2]} --wait --timeout 2m"
            raise UsageError("--timeout requires --wait", hint=hint)
        return timeout
    return usual or (timeout if wait else None)


def wait_for(require: Callable[[], None], settings: Settings, seconds: float | None, *, loop: str, page: Page) -> bool:
    """Whether to begin: False if a signal came first. With `seconds`, when `require` passes; raises as it does.

    `loop` is the name of the loop's heartbeat, `page` what it shows over HTTP.
    """
    if seconds is None:
        return True
    from sesacctl.cli.signals import STOP_SIGNALS, stop_event
    from sesacctl.pipeline import startup

    before = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    try:
        return startup.wait(
            require,
            loop=loop,
            home=settings.sesac_home,
            seconds=seconds,
            stop=stop_event(),
            on_wait=page.wait_for,
        )
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
