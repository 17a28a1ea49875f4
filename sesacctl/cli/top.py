"""sesacctl top."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import options, render
from sesacctl.cli.options import Output, OutputOption

if TYPE_CHECKING:
    import threading

    from sesacctl.pipeline.watch.top import Top

app = typer.Typer()
_KEY_SECONDS = 0.1


@app.command()
def top(
    once: Annotated[bool, typer.Option("--once", help="Sample three times, print one screen, exit.")] = False,
    every: Annotated[float, options.duration_option("Refresh interval.", "--every", longest=3600.0)] = 2.0,
    output: OutputOption = Output.TABLE,
) -> None:
    """The whole loop on one screen: rate, age, backlog and trend of every stage, and the bottleneck named.

    On a terminal, keys choose what is shown: q quits, p shows the partitions, space pauses, ? explains them.

    Examples: sesacctl top · sesacctl top --once -o json
    """
    settings = options.begin()
    from sesacctl.cli.signals import stop_event
    from sesacctl.cli.top_views import Board
    from sesacctl.pipeline.watch.bottleneck import LOOKS
    from sesacctl.pipeline.watch.top import Top

    looks, stop = Top(settings), stop_event()
    if once:
        for _ in range(LOOKS - 1):
            looks.run_once()
            stop.wait(every)
        render.show(looks.run_once(), output, Board)
    elif output is Output.TABLE and render.is_live(render.stdout):
        _show(looks, every, stop)
    else:
        render.watch(looks.run_once, every, stop, output, Board)


def _show(looks: Top, every: float, stop: threading.Event) -> None:
    """In place, until `stop` or the key q; looks are made beside it, as a server that hangs must not hold up a key."""
    from sesacctl.cli.keys import keys
    from sesacctl.cli.top_views import Board, View
    from sesacctl.pipeline.supervise.background import BackgroundPoll

    newest, view = BackgroundPoll(looks.run_once, every=every), View()
    shown = None
    with keys() as pressed, render.live_screen(render.stdout, keys=pressed) as live:
        while not stop.is_set():
            screen, key = newest.answer(), pressed.next(_KEY_SECONDS, stop)
            if key == "q":
                return
            if key:
                view.press(key)
            view.keys = pressed.active
            if screen is not None and (shown is None or not view.paused):
                shown = screen
            if shown is not None and (key or shown is screen):
                live.update(Board(shown, view), refresh=True)
