"""Checks as JUnit XML, the form of a test report that CI systems show: a test case for each check."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeVar
from xml.etree import ElementTree

import typer

from sesacctl.cli import render
from sesacctl.cli.options import Output
from sesacctl.errors import SesacctlError
from sesacctl.log import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

T = TypeVar("T")

_PROGRAM = "sesacctl"
_NO_CHARACTERS = re.compile("[\ufffe\uffff]")  # `printable` leaves them, and no XML may hold them


class CheckOutput(StrEnum):
    """How the result of a check is printed on stdout."""

    TABLE = "table"
    JSON = "json"
    JSONL = "jsonl"
    JUNIT = "junit"


CheckOutputOption = Annotated[
    CheckOutput, typer.Option("-o", "--output", help="How to print the result.", show_default=True)
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One check: what it rests on, and what is wrong. `skipped`: nobody can say; `error`: it could not be made."""

    name: str
    evidence: str = ""
    failure: str | None = None
    skipped: bool = False
    error: str | None = None


def show(
    result: T,
    output: CheckOutput,
    to_table: Callable[[T], RenderableType],
    to_cases: Callable[[T], Sequence[Case]],
    *,
    suite: str,
) -> None:
    """Print a check's result: as JUnit XML, or as any other result."""
    if output is CheckOutput.JUNIT:
        render.show_document(document(suite, to_cases(result)))
    else:
        render.show(result, Output(output.value), to_table)


@contextmanager
def errors_reported(output: CheckOutput, *, suite: str) -> Iterator[None]:
    """Have an error inside the block be the report's only case, too: a file without one would pass for no tests."""
    try:
        yield
    except SesacctlError as error:
        if output is CheckOutput.JUNIT:
            render.show_document(document(suite, [Case(name=suite, error=with_hint(str(error), error.hint))]))
        raise


def document(suite: str, cases: Sequence[Case]) -> str:
    """The XML. Whatever the texts hold, it can be parsed, and nothing in it drives a terminal."""
    counts = {
        "tests": len(cases),
        "failures": sum(case.failure is not None for case in cases),
        "errors": sum(case.error is not None for case in cases),
        "skipped": sum(case.skipped for case in cases),
    }
    attributes = {"name": suite, **{name: str(number) for name, number in counts.items()}}
    root = ElementTree.Element("testsuites", attributes)
    element = ElementTree.SubElement(root, "testsuite", attributes)
    for case in cases:
        _add(element, suite, case)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _add(element: ElementTree.Element, suite: str, case: Case) -> None:
    added = ElementTree.SubElement(
        element, "testcase", {"classname": f"{_PROGRAM}.{suite}", "name": _text(case.name), "time": "0"}
    )
    for kind, problem in (("failure", case.failure), ("error", case.error)):
        if problem is not None:
            first, _, _ = problem.partition("\n")
            said = ElementTree.SubElement(added, kind, {"message": _text(first)})
            said.text = "\n".join(map(_text, problem.split("\n")))
    if case.skipped:
        ElementTree.SubElement(added, "skipped", {"message": _text(case.evidence)})
    elif case.evidence:
        ElementTree.SubElement(added, "system-out").text = _text(case.evidence)


def _text(text: str) -> str:
    return _NO_CHARACTERS.sub(lambda match: f"\\u{ord(match[0]):x}", printable(text))


def with_hint(problem: str, hint: str | None) -> str:
    """A failure's text: what is wrong, and on a second line the command to run next."""
    return f"{problem}\nnext: {hint}" if hint else problem
