"""Options that several commands share, and the one place where a command's settings and log are set up."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException
from typer.main import get_command
from typer.models import OptionInfo

from sesacctl.cli import completion, help_style
from sesacctl.cli.help_style import DURATION
from sesacctl.wording import plain

if TYPE_CHECKING:
    from pathlib import Path

    from typer._click import Command, Context, Parameter

    from sesacctl.events import Kind
    from sesacctl.settings import Settings


class Output(StrEnum):
    """How results are printed on stdout."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


class LogLevel(StrEnum):
    """The lowest level of log records that are shown."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """How log records are shown."""

    TEXT = "text"
    JSON = "json"


@dataclass(slots=True)
class Shared:
    """The values of the options of `share`, in this process's one command."""

    quiet: bool = False
    log_level: LogLevel | None = None
    log_format: LogFormat | None = None


shared = Shared()

# Bounds of numbers that have none by their meaning: every option has both, so that a slip of the hand is refused.
MOST = 10**12
MOST_ROWS = 1_000_000  # that are shown, or held in memory, at once
LONG = 2**63 - 1  # PostgreSQL's bigint

BYTES = "KEY"
"""The metavar of what may be any bytes; every other text is UTF-8."""

_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATIONS = "30s, 10m, 2h or 7d; a number alone is in seconds"
_LONGEST = 10 * 365 * 86_400.0


def duration(text: str | float) -> float:
    """`50`, `30s`, `10m`, `2h` or `90d` in seconds.

    Raises:
        typer.BadParameter: not such a duration, not above zero, or longer than ten years.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", str(text).strip(), re.ASCII)
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if seconds <= 0:
        raise typer.BadParameter(f"'{text}' is not a duration such as {_DURATIONS}")
    if seconds > _LONGEST:
        raise typer.BadParameter(f"'{text}' is longer than ten years")
    return seconds


OutputOption = Annotated[Output, typer.Option("-o", "--output", help="How to print the result.", show_default=True)]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Skip the confirmation prompt.")]
MetricsPortOption = Annotated[
    int | None,
    typer.Option(
        "--metrics-port", min=1, max=65535, help="Serve Prometheus metrics on this port of SESAC_METRICS_HOST."
    ),
]


def kinds(text: str) -> tuple[Kind, ...]:
    """`orders,users,products`, or some of them, as a tuple.

    Raises:
        typer.BadParameter: there is another name in it.
    """
    from sesacctl.events import Kind

    try:
        return tuple(dict.fromkeys(Kind(name.strip()) for name in text.split(",")))
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not a list of orders, users and products with commas between") from None


def duration_option(help_text: str, name: str, *, longest: float = _LONGEST) -> OptionInfo:
    """A Typer option that takes a duration, of at most `longest` seconds, and returns seconds."""

    def parse(text: str | float) -> float:
        if (seconds := duration(text)) > longest:
            raise typer.BadParameter(f"'{text}' is longer than {_typed(longest)}")
        return seconds

    found: OptionInfo = typer.Option(name, help=help_text, parser=parse, metavar=DURATION)
    return found


def read_file(file: Path) -> bytes:
    """All of a file that was named on the command line; `-` is standard input.

    Raises:
        UsageError: it cannot be read.
    """
    from sesacctl import files
    from sesacctl.errors import UsageError

    try:
        return files.read_all(sys.stdin.buffer, "-") if str(file) == "-" else files.read_bytes(file)
    except (OSError, AttributeError) as error:
        words = error.strerror if isinstance(error, OSError) else "it is closed"
        raise UsageError(f"{file_name(file)} cannot be read: {words}", hint="another file") from None


def file_name(file: Path) -> str:
    """What to call it in a message."""
    return "standard input" if str(file) == "-" else str(file)


def given(context: typer.Context, *names: str) -> str | None:
    """The first of these parameters that stands on the command line, as it is typed."""
    typed = (name for name in names if (source := context.get_parameter_source(name)) and source.name == "COMMANDLINE")
    name = next(typed, None)
    return name and next(param.opts[0] for param in context.command.params if param.name == name)


def share(command: Command) -> None:
    """Add the options that all commands have to a command, or to each of a group; remove those that Typer adds.

    The defaults of durations are shown as a person would type them.
    """
    command.params = [param for param in command.params if not str(param.name).endswith("_completion")]
    help_style.fit(command)
    if isinstance(command, TyperGroup):
        for each in command.commands.values():
            share(each)
    else:
        _say_which(command)
        for param in command.params:
            if param.metavar == DURATION and isinstance(param.default, float):
                param.default = _typed(param.default)
        command.params += _shared_options()
        help_style.apply(command)
        completion.apply(command)


def _say_which(command: Command) -> None:
    """Have every mistake in its options say in plain words what is wrong, and name the command and its help."""
    parse = command.parse_args

    def parse_args(ctx: Context, args: list[str]) -> list[str]:
        try:
            rest = parse(ctx, args)
            _require_text(ctx)
            return rest
        except TyperException as error:
            if getattr(error, "ctx", ctx) is None:
                error.ctx = ctx  # type: ignore[attr-defined]
            error.message = plain(error.message)
            raise

    command.parse_args = parse_args  # type: ignore[method-assign]


def _require_text(ctx: Context) -> None:
    """Refuse bytes that are not text where a text is taken: no server has an id or a name of them."""
    for param in ctx.command.params:
        given = ctx.params.get(str(param.name))
        values = given if isinstance(given, list | tuple) else (given,)
        try:
            "".join(each for each in values if isinstance(each, str) and param.metavar != BYTES).encode()
        except UnicodeEncodeError:
            name = param.opts[0] if param.param_type_name == "option" else param.metavar
            raise typer.BadParameter("it holds bytes that are not UTF-8", param_hint=f"'{name}'") from None


def _typed(seconds: float) -> str:
    minutes = seconds / _UNITS["m"]
    return f"{minutes:g}m" if minutes >= 2 and minutes == int(minutes) else f"{seconds:g}s"


def _keep(param: typer.CallbackParam, value: object) -> None:
    setattr(shared, str(param.name), value)


def _shared_option(*names: str, help_text: str) -> OptionInfo:
    found: OptionInfo = typer.Option(
        *names, help=help_text, callback=_keep, expose_value=False, rich_help_panel="Any command"
    )
    return found


def _shared_options() -> list[Parameter]:
    app = typer.Typer(add_completion=False)

    @app.command()
    def command(
        quiet: Annotated[
            bool, _shared_option("-q", "--quiet", help_text="Only results and errors: no log, progress or advice.")
        ] = False,
        log_level: Annotated[LogLevel | None, _shared_option("--log-level", help_text="Lowest level to log.")] = None,
        log_format: Annotated[LogFormat | None, _shared_option("--log-format", help_text="Log format.")] = None,
    ) -> None:
        """Never called: its options are taken."""

    return [param for param in get_command(app).params if param.name in Shared.__annotations__]


def begin(*, servers: bool = True, yes: bool | None = None, **flags: object) -> Settings:
    """Load the settings from flags, environment and files, and set up logging by them.

    `servers`: whether any is asked, so that it is said when nothing names them. `yes`: of a command that writes to
    them, whether to do it then, too; it is None of one that only reads.

    Raises:
        UsageError: nothing names the servers to write to, and nobody can be asked.
        Declined: the answer was not yes.
    """
    loaded = _load(**flags)
    if servers and loaded.is_guess:
        from sesacctl.cli import guess

        guess.tell(loaded, yes=yes)
    return loaded


def _load(**flags: object) -> Settings:
    from sesacctl import log, settings

    level = shared.log_level or (LogLevel.ERROR if shared.quiet else None)
    chosen = {"sesac_log_level": level, "sesac_log_format": shared.log_format}
    loaded = settings.load(**flags | {name: value.value for name, value in chosen.items() if value})
    log.configure(loaded.sesac_log_level, "json" if loaded.sesac_log_format == "json" else "text")
    if loaded.sesac_log_format == "json":
        log.only_json()
    return loaded
