"""sesacctl metrics."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from sesacctl.cli import options, render

app = typer.Typer()
DEFAULT_PORT = 9464


@app.command()
def metrics(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = DEFAULT_PORT,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on.", show_default="SESAC_METRICS_HOST, this machine only")
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Print the metrics once instead of serving them.")] = False,
) -> None:
    """Serve the state of servers, cache, topics and lag to Prometheus; the servers are asked at each scrape.

    Examples: sesacctl metrics --port 9464 · sesacctl metrics --once
    """
    settings = options.begin(sesac_metrics_host=host)
    from sesacctl.cli.signals import stop_event
    from sesacctl.pipeline.watch import exporter
    from sesacctl.pipeline.watch.pages import serve
    from sesacctl.pipeline.watch.scraper import Scraper

    scraper = Scraper(settings)
    if once:
        sys.stdout.write(exporter.text(scraper.collect))
        return
    stop = stop_event()
    with serve(port, exporter.SharedLook(scraper.collect), host=settings.sesac_metrics_host):
        render.say(f"metrics on http://{settings.sesac_metrics_host}:{port}/metrics")
        stop.wait()
