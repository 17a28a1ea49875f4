"""Command lines with something absurd in each, from the tree of commands: options that come later are covered too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.helpers.command_line import ARGUMENTS, commands
from tests.hostile import values

_SHARED = ("help",)
_LAWFUL = ("1", "5s", "json", "orders", "earliest")


@dataclass(frozen=True, slots=True)
class Line:
    """One command line; `about` is what is wrong with it, for a person."""

    command: str
    arguments: tuple[str, ...]
    about: str
    refused: bool = False
    environment: Mapping[str, str | None] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


def plain(command: str) -> Line:
    """The command with what it needs to get as far as the servers, and to end."""
    return Line(command, (*command.split(), *ARGUMENTS.get(command, [])), "as it is")


def with_values(things: Path) -> list[Line]:
    """Each parameter of each command with each absurd value of its kind."""
    found = []
    for name, command in commands():
        for param in command.params:
            if param.name in _SHARED:
                continue
            if param.param_type_name == "option" and param.is_flag:
                found += [_line(name, param, [f"{param.opts[-1]}{end}"], end) for end in values.of_flags()]
                continue
            for value in values.of(param, things):
                given = [value] if param.param_type_name == "argument" else [param.opts[-1], value]
                found.append(_line(name, param, given, value))
    return found


def _line(name: str, param: Any, given: Sequence[str], value: str) -> Line:
    words = [*name.split(), *_rest(name, param), *given]
    number = param.type_descriptor.annotation in (int, float) or param.metavar == "DURATION"
    return Line(name, tuple(words), f"{param.name}={shortened(value)}", number and values.is_absurd_number(value))


def _rest(name: str, param: Any) -> list[str]:
    """The arguments that the command needs, without those that the parameter takes the place of."""
    rest = list(ARGUMENTS.get(name, []))
    if param.param_type_name == "argument":
        return [word for word in rest if word.startswith("--") and word != "--"]
    for option in param.opts:
        if option in rest:
            at = rest.index(option)
            del rest[at : at + (1 if param.is_flag else 2)]
    return rest


def shortened(value: str) -> str:
    """For a report."""
    return repr(value if len(value) <= 60 else f"{value[:20]}… ({len(value)} characters)")


def combined(number_of_run: int, things: Path, count: int) -> list[Line]:
    """Lines with two to five options at once, flags and values, right ones and absurd ones, drawn by Hypothesis."""
    known = {name: [each for each in command.params if each.name not in _SHARED] for name, command in commands()}
    found: list[Line] = []

    @seed(number_of_run)
    @settings(max_examples=count, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(st.data())
    def draw(data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(known)))
        options = [each for each in known[name] if each.param_type_name == "option"]
        chosen = data.draw(st.lists(st.sampled_from(options), min_size=2, max_size=5, unique_by=id))
        words = [*name.split(), *ARGUMENTS.get(name, [])]
        for param in chosen:
            words.append(data.draw(st.sampled_from(param.opts)))
            if not param.is_flag:
                words.append(data.draw(st.sampled_from([*_LAWFUL, *values.of(param, things)])))
        about = "together: " + shortened(" ".join(words[-8:]))
        if "--wait" in words and "--timeout" not in words:
            words += ["--timeout", "2s"]  # by default it waits for a minute, as it should
        found.append(Line(name, tuple(words), about))

    draw()
    return found
