"""sesacctl fetch."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl.cli import render
from sesacctl.cli.options import Output, OutputOption, begin
from sesacctl.formatting import plural

if TYPE_CHECKING:
    from rich.table import Table

    from sesacctl.stack.jar_folder import FetchResult

app = typer.Typer()


@app.command()
def fetch(
    to: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Put them into this folder.", show_default="where `up` looks"),
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="Take them from this folder, and nothing from the network."),
    ] = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Fetch the jars of the local Kafka and check each one's SHA-256; what is there already is not fetched again.

    For machines without a network, and for caches of CI. They come from Maven Central, or from SESAC_MAVEN_MIRROR.

    Examples: sesacctl fetch · sesacctl fetch --to jars · sesacctl fetch --from jars
    """
    settings = begin(servers=False)
    from sesacctl.stack import jar_folder

    with render.steps("fetching") as on_step:
        result = jar_folder.fetch(to, source=source, mirror=settings.sesac_maven_mirror, on_step=on_step)
    render.show(result, output, _table)
    render.next_command(f"sesacctl fetch --from {shlex.quote(str(to))}" if to else "sesacctl up --offline")


def _table(result: FetchResult) -> Table:
    values = {
        "folder": result.folder,
        "Kafka": result.kafka,
        "jars": f"{plural(result.jars, 'jar')}, each with its SHA-256",
        "fetched now": str(result.fetched),
        "time": f"{result.seconds} s",
    }
    return render.details("Kafka's jars", values)
