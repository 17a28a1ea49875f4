"""sesacctl dashboard."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from sesacctl.cli import options, render
from sesacctl.cli.options import Output

app = typer.Typer()


@app.command()
def dashboard(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 is any free one.")] = 8600,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    token: Annotated[
        str | None,
        typer.Option(
            help="What a browser has to show once, in the address.",
            show_default="none on this machine; made for another --host",
        ),
    ] = None,
    show: Annotated[bool, typer.Option("--open", help="Open it in this machine's browser.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Print one look as JSON instead of serving them.")] = False,
) -> None:
    """The whole loop in a browser, live: what top shows, and brokers, instances, partitions, events. It only reads.

    All browsers together ask the servers once a second; nothing is asked while nobody looks.

    Example: sesacctl dashboard --open
    """
    settings = options.begin()
    if once:
        from sesacctl.dashboard.look import Looker

        render.show(Looker(settings).run_once(), Output.JSON, str)
        return
    from sesacctl.cli.signals import stop_event
    from sesacctl.dashboard.server import serving

    stop = stop_event()
    with serving(settings, host=host, port=port, token=token) as address:
        render.say(f"dashboard on {address.url}")
        if show and not open_browser(address.url):
            render.say("no browser with windows is known here: open the address in one")
        stop.wait()


def open_browser(url: str) -> bool:
    """Whether a browser was asked to show it; one that would draw into this terminal only if BROWSER names it."""
    import webbrowser

    if sys.platform == "linux" and not any(os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")):
        return False
    return webbrowser.open(url)
