"""The `sesacctl` command: a table of commands that are imported when they are called."""

from __future__ import annotations

import gc
import os
import sys

from sesacctl import __version__
from sesacctl.cli.boundary import run

TYPE_CHECKING = False  # importing `typing` for it would take a third of the time that `--version` has
if TYPE_CHECKING:
    import typer
    from typer._click import Command, Context, HelpFormatter

LONGEST_ARGUMENT = 4096  # of characters, as `home.LONGEST_VALUE`, which takes longer to import
# Module and attribute, and the line in `sesacctl --help`: that imports none of the commands.
COMMANDS = {
    "up": ("stack:up_app", "Start the local PostgreSQL, Valkey and three Kafka brokers"),
    "fetch": ("fetch:app", "Fetch the local servers' jars, for machines without a network"),
    "down": ("stack:down_app", "Stop the local servers that `up` started"),
    "stack": ("stack:app", "Status, logs and settings of the local servers"),
    "demo": ("demo:app", "Run the whole loop on local servers and end with the audit"),
    "drill": ("drill:app", "Have one fault on the local stack, watch it heal, and audit"),
    "config": ("config:app", "Write, show and check the settings"),
    "db": ("db:app", "Schema, migrations, checks and sample data"),
    "cache": ("cache:app", "The cache worker and its controls"),
    "topics": ("topics:app", "Create and describe the three topics, and look at messages"),
    "produce": ("produce:app", "Send orders made from the cache to Kafka"),
    "consume": ("consume:app", "Store events from Kafka in PostgreSQL, exactly once"),
    "offsets": ("offsets:app", "Consume again, skip, or continue after a log was cut"),
    "events": ("events:app", "The format of the events: its JSON Schema, and a check of files"),
    "lag": ("lag:app", "Events not stored yet, per partition"),
    "dlq": ("dlq:app", "Dead letters: look at what was refused, and bring it back"),
    "trace": ("trace:app", "Every hop of one order, from the producer's ledger to its row"),
    "audit": ("audit:app", "Prove that nothing consumed is lost or stored twice"),
    "health": ("health:app", "What works, what does not, and the command to run next"),
    "top": ("top:app", "The whole loop on one screen, and its bottleneck"),
    "dashboard": ("dashboard:app", "The whole loop in a browser, live and read-only"),
    "smoke": ("smoke:app", "A few orders through a running loop, timed and removed again"),
    "metrics": ("metrics:app", "The state of the loop for Prometheus"),
}


def load(name: str) -> Command:
    """The command or group of that name, with the options that all commands have."""
    import importlib

    from typer.main import get_command

    from sesacctl.cli.options import share

    module, _, attribute = COMMANDS[name][0].partition(":")
    command = get_command(getattr(importlib.import_module(f"sesacctl.cli.{module}"), attribute))
    command.name = name
    share(command)
    gc.enable()
    return command


def build() -> typer.Typer:
    """The Typer application."""
    import typer
    from typer.core import TyperCommand, TyperGroup

    from sesacctl.cli.help_style import narrow

    class LazyGroup(TyperGroup):
        """Shows the commands from the table; imports only the one that is called."""

        def format_help(self, ctx: Context, formatter: HelpFormatter) -> None:
            narrow(self, formatter)
            super().format_help(ctx, formatter)

        def list_commands(self, _ctx: Context) -> list[str]:
            return list(COMMANDS)

        def get_command(self, _ctx: Context, cmd_name: str) -> Command | None:
            return TyperCommand(cmd_name, help=COMMANDS[cmd_name][1]) if cmd_name in COMMANDS else None

        def resolve_command(self, ctx: Context, args: list[str]) -> tuple[str | None, Command | None, list[str]]:
            name = args[0]
            if name not in COMMANDS and ctx.resilient_parsing:  # a shell asks what could follow: nothing
                return None, None, args
            if name not in COMMANDS:
                from difflib import get_close_matches

                close = get_close_matches(name, COMMANDS)
                ctx.fail(f"No such command '{name}'." + (f" Did you mean '{close[0]}'?" if close else ""))
            return name, load(name), args[1:]

    app = typer.Typer(
        cls=LazyGroup,
        rich_markup_mode=None if _wants_json() else "rich",  # no frame around an error in a log
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
            show_version()
            raise typer.Exit

    return app


def show_version() -> None:
    """Print it."""
    print(f"sesacctl {__version__}")


def _wants_json() -> bool:
    """Whether stderr is to be JSON: decided before anything can fail, so before options and settings are read."""
    words = [*sys.argv[1:], ""]
    for position, word in enumerate(words):
        name, _, value = word.partition("=")
        if name == "--log-format":
            return (value or words[position + 1]) == "json"
    if not (os.access(".env", os.F_OK) or any(name.upper() == "SESAC_LOG_FORMAT" for name in os.environ)):
        return False
    from sesacctl.errors import ConfigurationError
    from sesacctl.home import early

    try:
        return early("SESAC_LOG_FORMAT") == "json"
    except ConfigurationError:  # it is said later
        return False


def _command() -> None:
    for number, argument in enumerate(sys.argv[1:], start=1):
        if len(argument) > LONGEST_ARGUMENT:  # nothing is that long: refused in a line, and not shown
            from sesacctl.errors import UsageError

            raise UsageError(
                f"argument {number} has {len(argument):,} characters, at most {LONGEST_ARGUMENT:,} are taken"
            )
    # Two that must be quick do not wait for Typer to be imported.
    if sys.argv[1:] == ["--version"]:
        show_version()
    elif sys.argv[1:] == ["health", "--live"]:
        from sesacctl import log
        from sesacctl.cli import live

        if _wants_json():
            log.only_json()
        live.main()
    else:
        if _wants_json():
            from sesacctl.log import only_json

            only_json()
        build()(prog_name="sesacctl")


def main() -> None:
    """Entry point; exits with the codes of `sesacctl.errors`."""
    gc.disable()  # until a command is loaded: looking for garbage among what is imported takes a tenth of the time
    try:
        sys.exit(run(_command))
    finally:
        gc.freeze()  # Python looks for garbage twice more while it ends: up to a quarter of a short command's time
