"""Parses command lines with the real commands and runs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import typer
from typer.main import get_command

from sesacctl.cli.app import COMMANDS, build, load


def problem(arguments: Sequence[str]) -> str | None:
    """Why `sesacctl ARGUMENTS` is no command line; None if it is one."""
    command, words, parent = get_command(build()), list(arguments), None
    name: str | None = "sesacctl"
    try:
        while True:
            context = command.make_context(name, words, parent=parent)
            if not hasattr(command, "resolve_command"):
                return None
            rest = [*context._protected_args, *context.args]
            if not rest:
                return None
            name, command, words = command.resolve_command(context, rest)
            parent = context
    except typer.Exit:  # --help and --version
        return None
    except Exception as error:
        return f"{type(error).__name__}: {getattr(error, 'message', error)}"


def leaves() -> Iterator[tuple[str, ...]]:
    """Every command, by its words."""
    for name in COMMANDS:
        command = load(name)
        if hasattr(command, "commands"):
            yield from ((name, each) for each in command.commands)
        else:
            yield (name,)
