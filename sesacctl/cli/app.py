"""The `sesacctl` command: lazily imported sub-commands and the one error boundary."""

from __future__ import annotations

import importlib
import sys
from difflib import get_close_matches
from typing import Any, NamedTuple

from sesacctl import __version__


class _Entry(NamedTuple):
    module: str
    help: str


# A table, so that `--help` imports none of the commands.
COMMANDS = {
    "up": _Entry("stack:up_app", "Start the local PostgreSQL, Valkey and three Kafka brokers"),
    "down": _Entry("stack:down_app", "Stop the local servers that `up` started"),
    "stack": _Entry("stack:app", "Status, logs and settings of the local servers"),
    "demo": _Entry("demo:app", "Run the whole loop on local servers and end with the audit"),
    "db": _Entry("db:app", "Schema, migrations, checks and sample data"),
    "cache": _Entry("cache:app", "The cache worker and its controls"),
    "topics": _Entry("topics:app", "Create and describe the three topics"),
    "produce": _Entry("produce:app", "Send orders made from the cache to Kafka"),
    "consume": _Entry("consume:app", "Store events from Kafka in PostgreSQL, exactly once"),
    "lag": _Entry("lag:app", "Events not stored yet, per partition"),
    "audit": _Entry("audit:app", "Prove that nothing was lost or stored twice"),
    "health": _Entry("health:app", "One line per server, with an exit code for probes"),
}


def _load(name: str) -> Any:
    from typer.main import get_command

    module, _, attribute = COMMANDS[name].module.partition(":")
    command = get_command(getattr(importlib.import_module(f"sesacctl.cli.{module}"), attribute))
    command.name = name
    return command


def _build() -> Any:
    import typer
    from typer.core import TyperCommand, TyperGroup

    class LazyGroup(TyperGroup):
        """Shows the commands from the table; imports only the one that is called."""

        def list_commands(self, ctx: Any) -> list[str]:
            return list(COMMANDS)

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            return TyperCommand(cmd_name, help=COMMANDS[cmd_name].help) if cmd_name in COMMANDS else None

        def resolve_command(self, ctx: Any, args: list[str]) -> Any:
            name = args[0]
            if name not in COMMANDS:
                close = get_close_matches(name, COMMANDS)
                ctx.fail(f"No such command '{name}'." + (f" Did you mean '{close[0]}'?" if close else ""))
            return name, _load(name), args[1:]

    app = typer.Typer(
        cls=LazyGroup,
        no_args_is_help=True,
        pretty_exceptions_show_locals=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def sesacctl(
        version: bool = typer.Option(False, "--version", help="Show the version and exit.", is_eager=True),
    ) -> None:
        """Run, watch and repair an order pipeline: PostgreSQL, Redis, Kafka and back, exactly once.

        Start here: sesacctl demo
        """
        if version:
            print(f"sesacctl {__version__}")
            raise typer.Exit

    return app


def main() -> None:
    """Entry point; exits with the codes of `sesacctl.errors`."""
    if sys.argv[1:] == ["--version"]:  # before Typer is imported: that costs ten times as much
        print(f"sesacctl {__version__}")
        return
    from sesacctl.errors import SesacctlError

    try:
        _build()(prog_name="sesacctl")
    except SesacctlError as error:
        from sesacctl.cli.render import show_error

        show_error(error)
        sys.exit(error.exit_code)
