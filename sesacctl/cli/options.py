"""Options that several commands share, and the one place where a command's settings and log are set up."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from sesacctl.settings import Settings


class Output(StrEnum):
    """How results are printed on stdout."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"


_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration(text: str | float) -> float:
    """`50`, `30s`, `10m` or `2h` in seconds.

    Raises:
        typer.BadParameter: not such a duration, or not above zero.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh]?)", str(text).strip())
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if seconds <= 0:
        raise typer.BadParameter(f"'{text}' is not a duration such as 50, 30s, 10m or 2h")
    return seconds


OutputOption = Annotated[Output, typer.Option("-o", "--output", help="How to print the result.", show_default=True)]
YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def duration_option(help_text: str, name: str) -> Any:
    """A Typer option that takes a duration and gives seconds."""
    return typer.Option(name, help=help_text, parser=duration, metavar="DURATION")


def begin(**flags: Any) -> Settings:
    """Settings from flags, environment and files; logging as they say."""
    from sesacctl import log, settings

    loaded = settings.load(**flags)
    log.configure(loaded.sesac_log_level, "json" if loaded.sesac_log_format == "json" else "text")
    return loaded
