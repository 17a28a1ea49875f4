"""sesacctl top."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import options, render
from sesacctl.cli.options import Output, OutputOption

if TYPE_CHECKING:
    import threading

    from sesacctl.pipeline.watch.top import Top
    from sesacctl.settings import Settings

app = typer.Typer()
_KEY_SECONDS = 0.1


@app.command()
def top(
    once: Annotated[bool, typer.Option("--once", help="Sample three times, print one screen, exit.")] = False,
    every: Annotated[float, options.duration_option("Refresh interval.", "--every", longest=3600.0)] = 2.0,
    export: Annotated[
        Path | None,
        typer.Option(
            "--export", metavar="FILE", help="Record until Ctrl-C, or three looks with --once, and write an HTML file."
        ),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """The whole loop on one screen: rate, age, backlog and trend of every stage, and the bottleneck named.

    On a terminal, keys choose what is shown: q quits, p shows the partitions, space pauses, ? explains them.

    With --export, the last half hour of it as one file: the page of `sesacctl dashboard`, which plays it in a browser
    without any server.

    Examples: sesacctl top · sesacctl top --once -o json · sesacctl top --export run.html
    """
    settings = options.begin()
    from sesacctl.cli.signals import stop_event
    from sesacctl.cli.top_views import Board
    from sesacctl.pipeline.watch.bottleneck import LOOKS
    from sesacctl.pipeline.watch.top import Top

    stop = stop_event()
    if export is not None:
        _record(settings, export, every, stop, most=LOOKS if once else None)
        return
    looks = Top(settings)
    if once:
        for _ in range(LOOKS - 1):
            looks.run_once()
            stop.wait(every)
        render.show(looks.run_once(), output, Board)
    elif output is Output.TABLE and render.is_live(render.stdout):
        _show(looks, every, stop)
    else:
        render.watch(looks.run_once, every, stop, output, Board)


def _record(settings: Settings, file: Path, every: float, stop: threading.Event, *, most: int | None) -> None:
    from sesacctl import formatting
    from sesacctl.dashboard.history import History
    from sesacctl.dashboard.look import Looker
    from sesacctl.dashboard.recording import Recorder, write
    from sesacctl.errors import ConfigurationError

    if not file.parent.is_dir():  # not only when all is recorded
        raise ConfigurationError(f"{file} cannot be written: there is no such folder", hint="another file")
    looker, recorder, history = Looker(settings), Recorder(every), History(settings)
    render.say("recording" if most else "recording: Ctrl-C ends it, and writes the file")
    looks = 0
    while not stop.is_set():
        look = looker.run_once()
        recorder.add(look)
        history.add(look)
        looks += 1
        if looks == most:
            break
        stop.wait(every)
    size = write(file, recorder.recording(history.read()))
    render.say(f"{file}: {formatting.plural(looks, 'look')}, {formatting.bytes_text(size)}")


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
