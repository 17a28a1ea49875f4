"""Parses command lines with the real commands and runs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any

import typer
from typer.main import get_command

from sesacctl.cli.app import COMMANDS, build, load

# What a command needs to get as far as the servers.
ARGUMENTS = {
    "db downgrade": ["-1", "--yes"],
    "db migrate": ["--yes"],
    "db forget": ["u_00000001", "--yes"],
    "db prune": ["--older-than", "90d", "--yes"],
    "db dump": ["tables.dump"],
    "db restore": ["tables.dump", "--yes"],
    "cache sample": ["users"],
    "cache reset-aging": ["--yes"],
    "dlq show": ["1"],
    "dlq replay": ["--all"],
    "dlq discard": ["--all", "--yes"],
    "dlq export": ["letters.jsonl"],
    "events check": ["event.json"],
    "topics peek": ["orders"],
    "offsets reset": ["--to", "earliest", "--dry-run"],
    "trace": ["o1"],
    "drill": ["--list"],
    "top": ["--once", "--every", "0.1"],
    "metrics": ["--once"],
    "dashboard": ["--once"],
    "produce": ["--count", "1"],
    "consume": ["--until-empty", "-n", "1"],
}


def problem(arguments: Sequence[str]) -> str | None:
    """Why `sesacctl ARGUMENTS` is no command line; None if it is one. Nothing is done that an option is for."""
    command, words, parent = _inert(get_command(build())), list(arguments), None
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
            command, parent = _inert(command), context
    except typer.Exit:
        return None
    except Exception as error:
        return f"{type(error).__name__}: {getattr(error, 'message', error)}"


def _inert(command: Any) -> Any:
    """The command whose options that do something at once, such as --install-completion, only end the parsing."""

    def end(context: Any, _parameter: object, value: object) -> object:
        if value and not context.resilient_parsing:
            raise typer.Exit
        return value

    command = copy(command)
    options = [copy(each) for each in command.params]
    for each in options:
        if not each.expose_value:  # its callback is all there is of it
            each.callback = end if hasattr(command, "resolve_command") else None
    command.params = options
    return command


def commands() -> Iterator[tuple[str, Any]]:
    """Every command that can be called, by its full name."""
    for name in COMMANDS:
        command = load(name)
        if hasattr(command, "commands"):
            yield from ((f"{name} {sub}", each) for sub, each in command.commands.items())
        else:
            yield name, command


def leaves() -> Iterator[tuple[str, ...]]:
    """Every command, by its words."""
    return (tuple(name.split()) for name, _ in commands())
