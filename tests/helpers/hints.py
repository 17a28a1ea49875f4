"""What hints advise: the commands and the settings that are named in a text, and the texts that the sources hold."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from sesacctl import errors
from sesacctl.cli.app import COMMANDS, load
from sesacctl.errors import SesacctlError
from sesacctl.settings import Settings
from tests.helpers.command_line import problem

SOURCES = Path(__file__).parents[2] / "sesacctl"
# Keywords, names of constants and functions whose texts tell a person what to do next.
_KEYWORDS = {"hint", "next"}
_NAMES = re.compile(r"(^|_)hint$|^_(HOST|USER|TLS)_VARIABLE$", re.IGNORECASE)
_MENTION = re.compile(r"\bsesacctl(?= [a-z-])((?: [^\s,;:()`]+)*)")
_VARIABLE = re.compile(r"(?<![\w$-])[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+(?![\w-])|\bPG[A-Z]+\b")
_ELSEWHERE = {"PGSSLMODE", "PGSSLROOTCERT", "XDG_CACHE_HOME", "HTTPS_PROXY", "REQUESTS_CA_BUNDLE"} | {
    "AWS_PROFILE",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_REGION",
}
_PLACEHOLDERS = {"A_FOLDER_YOU_MAY_WRITE", "ANOTHER_FOLDER", "ANOTHER_FILE"}
PART = "…"  # stands for a value in an f-string


def faults(hint: str) -> list[str]:
    """What is wrong with a hint: commands and options that do not exist, and variables that nobody reads."""
    known = {name.upper() for name in Settings.model_fields} | _ELSEWHERE | _PLACEHOLDERS
    found = [f"nobody reads {name}" for name in _VARIABLE.findall(hint) if name not in known]
    return found + [wrong for match in _MENTION.finditer(hint) for wrong in _wrong(match[1].split())]


def _wrong(words: list[str]) -> Iterator[str]:
    """A command line with prose behind it: some part of it has to parse, and options in the prose have to exist."""
    if words[0].startswith("-"):
        if problem(words[:1]):
            yield f"no such option: {words[0]}"
        return
    command = load(words[0]) if words[0] in COMMANDS else None
    subcommands = getattr(command, "commands", None)
    least = 1 if subcommands is None else 2
    if subcommands is not None:
        command = subcommands.get(words[1]) if len(words) > 1 else None
    if command is None:
        yield f"no such command: {' '.join(words)}"
        return
    if not any(PART in words[:end] or problem(words[:end]) is None for end in range(len(words), least - 1, -1)):
        yield f"does not parse: {' '.join(words)}"
    options = {option for param in command.params for option in (*param.opts, *param.secondary_opts)} | {"--help"}
    yield from (f"no such option: {word}" for word in words if word.startswith("-") and word not in options)


def written() -> Iterator[tuple[str, str]]:
    """Where each hint in the sources is, and its text; a value in it is `…`."""
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            for value in _advice(node):
                for text in _texts(value):
                    yield f"{path.relative_to(SOURCES)}:{value.lineno}", text


def without_advice() -> Iterator[str]:
    """Where an error is made that says nothing of what to do next: neither itself nor its class."""
    kinds = {
        name: each for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, SesacctlError)
    }
    for path in sorted(SOURCES.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id=name), keywords=keywords) if name in kinds:
                    if kinds[name].default_hint is None and not any(each.arg == "hint" for each in keywords):
                        yield f"{path.relative_to(SOURCES)}:{node.lineno} {name}"


def _advice(node: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.keyword(arg=name, value=value) if name in _KEYWORDS:
            yield value
        case ast.Assign(targets=[ast.Name(id=name)], value=value) if _NAMES.search(name):
            yield value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value) if _NAMES.search(name):
            yield value
        case ast.Call(func=ast.Name(id="_State"), args=[_, value, *_]):
            yield value
        case ast.FunctionDef(name=name, body=body) if _NAMES.search(name):
            yield from (
                each.value for each in ast.walk(ast.Module(body, [])) if isinstance(each, ast.Return) and each.value
            )


def _texts(value: ast.expr) -> Iterator[str]:
    """The texts that an expression may become; what is put into a text is not looked into."""
    match value:
        case ast.Constant(value=str(text)):
            yield text
        case ast.JoinedStr(values=parts):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else PART for part in parts)
        case _:
            for child in ast.iter_child_nodes(value):
                if isinstance(child, ast.expr):
                    yield from _texts(child)
