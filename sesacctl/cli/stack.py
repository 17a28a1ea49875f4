"""`up`, `down`, `stack status|logs|env`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from sesacctl import formatting
from sesacctl.cli import render
from sesacctl.cli.options import MOST_ROWS, Output, OutputOption, YesOption, begin

if TYPE_CHECKING:
    from rich.table import Table

    from sesacctl.stack.stack import DownResult, ServerStatus, UpResult

up_app = typer.Typer()
down_app = typer.Typer()
app = typer.Typer(
    no_args_is_help=True,
    help="Status, logs and settings of the local servers.\n\nExample: sesacctl stack status",
)


@up_app.command()
def up(
    offline: Annotated[
        bool, typer.Option("--offline", help="Take nothing from the network; name what is missing and exit 4.")
    ] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Start the local PostgreSQL, Valkey and three Kafka brokers; what runs already is left alone.

    The first time, Kafka's jars are fetched; `sesacctl fetch` does only that.

    Examples: sesacctl up · sesacctl up --offline
    """
    settings = begin(servers=False)
    from sesacctl.settings import home
    from sesacctl.stack import stack

    with render.steps("starting") as on_step:
        result = stack.up(home(), offline=offline, mirror=settings.sesac_maven_mirror, on_step=on_step)
    render.show(result, output, _up_table)
    render.next_command("sesacctl db init")


@down_app.command()
def down(
    purge: Annotated[bool, typer.Option("--purge", help="Delete the data as well.")] = False,
    yes: YesOption = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """Stop the local servers that `up` started, and nothing else.

    Example: sesacctl down --purge
    """
    begin(servers=False)
    from sesacctl.settings import home
    from sesacctl.stack import stack

    if purge:
        render.confirm(f"Delete all data of the local stack in {home()}?", yes=yes)
    with render.steps("stopping") as on_step:
        result = stack.down(home(), purge=purge, on_step=on_step)
    render.show(result, output, _down_table)


@app.command()
def status(output: OutputOption = Output.TABLE) -> None:
    """Show every local server; exit 5 if one is down.

    Example: sesacctl stack status -o json
    """
    begin(servers=False)
    from sesacctl.errors import CheckFailed
    from sesacctl.settings import home
    from sesacctl.stack import stack

    servers = stack.status(home())
    render.show(servers, output, _status_table)
    if away := [server.server for server in servers if server.state != "running"]:
        raise CheckFailed(f"not running: {', '.join(away)}", hint="sesacctl up")


@app.command()
def logs(
    server: Annotated[str | None, typer.Argument(help="postgres, valkey, kafka-1, kafka-2 or kafka-3.")] = None,
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, max=MOST_ROWS, help="How many lines of each log.")] = 20,
) -> None:
    """Show the end of the servers' logs.

    Example: sesacctl stack logs kafka-1 -n 50
    """
    begin(servers=False)
    from sesacctl.settings import home
    from sesacctl.stack import stack

    for name in [server] if server else stack.SERVERS:
        for line in stack.log_tail(home(), name, lines):
            render.stdout.print(render.text(line if server else f"{name}: {line}"), soft_wrap=True)


@app.command()
def env() -> None:
    """Print the variables that point other programs to the local servers: eval "$(sesacctl stack env)".

    Example: sesacctl stack env
    """
    begin(servers=False)
    from sesacctl.settings import home
    from sesacctl.stack import stack

    for name, value in stack.environment(home()).items():
        render.stdout.print(render.text(f"export {name}={shlex.quote(value)}"), soft_wrap=True)


def _up_table(result: UpResult) -> Table:
    started = ", ".join(result.started) or "nothing: everything was running"
    values = {"folder": result.home, "started": started, "time": f"{result.seconds} s", **result.environment}
    return render.details("Local stack", values)


def _down_table(result: DownResult) -> Table:
    stopped = ", ".join(result.stopped) or "nothing: no server was running"
    facts = {"folder": result.home, "stopped": stopped, "data": "deleted" if result.purged else "kept"}
    if result.left:
        facts["left, as a loop that still runs uses it"] = ", ".join(result.left)
    return render.details("Local stack", facts)


def _status_table(servers: list[ServerStatus]) -> Table:
    rows = [
        (
            server.server,
            server.pid and str(server.pid),
            server.address,
            render.text(server.state, "green" if server.state == "running" else "bold red"),
            server.version,
            server.memory_bytes and formatting.bytes_text(server.memory_bytes),
        )
        for server in servers
    ]
    return render.table("Local stack", ("server", "pid", "address", "state", "version", "memory"), rows)
