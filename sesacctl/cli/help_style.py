"""One style for the help of all commands: CAPITALS stand for what one types, other words are typed as they are."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING

from typer.core import TyperArgument, TyperOption

if TYPE_CHECKING:
    from collections.abc import Callable

    from typer._click import Command, Context, HelpFormatter

DURATION = "DURATION"
_DURATIONS = "DURATION: 30s, 10m, 2h or 7d; a number alone is in seconds."
# Above it, a bound is there for a slip of the hand, and is not worth a word.
_NOTEWORTHY = 10**9
_NARROWEST_PANEL = 72
_INDENT = 4


def apply(command: Command) -> None:
    """Have the command's help show each argument and option in that style; a flag has nothing beside it."""
    for param in command.params:
        if isinstance(param, TyperArgument):
            kind = _kind(param)
            param.metavar = param.metavar or str(param.name).upper()
            param.display_type = _constant(kind if "|" in kind else "")  # type: ignore[method-assign, assignment]
            name = param.metavar if param.required else f"[{param.metavar}]"
            vars(param)["_usage_display_name"] = _constant(name)
            vars(param)["_get_number_range_help_str"] = _constant(_range(param))
        elif isinstance(param, TyperOption):
            param.metavar = _kind(param)
            vars(param)["_get_number_range_help_str"] = _constant(_range(param))
    if any(param.metavar == DURATION for param in command.params) and not command.epilog:
        command.epilog = _DURATIONS


def fit(command: Command) -> None:
    """In a narrow terminal, show a command or group without panels, as those would cut the names of options."""
    make, write = command.get_help_option, command.format_help

    def get_help_option(ctx: Context) -> TyperOption | None:
        option = make(ctx)
        if option is not None:
            option.metavar = ""
        return option

    def format_help(ctx: Context, formatter: HelpFormatter) -> None:
        narrow(command, formatter)
        write(ctx, formatter)

    command.get_help_option = get_help_option  # type: ignore[method-assign]
    command.format_help = format_help  # type: ignore[method-assign]


def narrow(command: Command, formatter: HelpFormatter) -> None:
    """Where there is no room for two columns, write what an option is below it."""
    width = shutil.get_terminal_size().columns
    if width < _NARROWEST_PANEL:
        command.rich_markup_mode = None  # type: ignore[attr-defined]
        formatter.width = width
        formatter.write_dl = partial(formatter.write_dl, col_max=_INDENT)  # type: ignore[method-assign]


def _constant(value: str | None) -> Callable[..., str | None]:
    return lambda *_, **__: value


def _kind(param: TyperArgument | TyperOption) -> str:
    """What stands for a value of it; nothing for a flag."""
    described = param.type_descriptor
    if isinstance(param, TyperOption):
        if param.is_flag:
            return ""
        if param.metavar is not None:
            return param.metavar
    if described.is_choice:
        return "|".join(str(getattr(each, "value", each)) for each in described.choices or ())
    annotation = str(described.annotation)
    if "Path" in annotation:
        return "FILE"
    if "int" in annotation or "float" in annotation:
        return "NUMBER"
    return str(param.name).upper()


def _range(param: TyperArgument | TyperOption) -> str | None:
    """Its bounds, as far as they mean something."""
    low, high = param.min, param.max
    if low is None or high is None or abs(low) > _NOTEWORTHY:
        return None
    if high < _NOTEWORTHY:
        return f"{low:,} to {high:,}"
    return f"at least {low:,}" if low > 0 else None
