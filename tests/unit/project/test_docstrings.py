"""Docstrings that IDEs and the API pages can read: each error that may be raised is a class and a text."""

from __future__ import annotations

import ast
import builtins
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from sesacctl import errors
from tests.helpers.documents import ROOT

PACKAGE = ROOT / "sesacctl"
# Below sesacctl/: files whose `Raises:` sections are still to be mended. It only ever shrinks.
PENDING: frozenset[str] = frozenset({})

Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

_TITLE = re.compile(r"^Raises(.*)$")
_ITEM = re.compile(r"^([A-Za-z_][\w.]*): \S")
_SHARED = frozenset(
    name
    for name, value in (vars(builtins) | vars(errors)).items()
    if isinstance(value, type) and issubclass(value, BaseException)
)


def problems(docstring: str, names: frozenset[str]) -> list[str]:
    """What griffe could not read in the `Raises:` sections; `names` are those that the file can use."""
    found: list[str] = []
    step: int | None = None  # how far the section's items are indented; 0 before its first one
    for line in docstring.splitlines():
        indent, text = len(line) - len(line.lstrip()), line.strip()
        if not text:
            continue
        if indent == 0:
            found += ["an empty section"] if step == 0 else []
            title = _TITLE.match(line)
            step = 0 if title and title[1] == ":" else None
            found += [f"not a section: {text}"] if title and title[1] != ":" else []
        elif step is not None and (step == 0 or indent <= step):
            step = indent
            found += _problems_of_item(text, names)
    return found + (["an empty section"] if step == 0 else [])


def _problems_of_item(text: str, names: frozenset[str]) -> list[str]:
    item = _ITEM.match(text)
    if not item:
        return [f"not `Name: text`: {text}"]
    return [] if item[1] in names or _exists(item[1]) else [f"no error of this name: {text}"]


def _exists(name: str) -> bool:
    """Whether a dotted name leads somewhere, such as `psycopg2.Error`."""
    try:
        return "." in name and pkgutil.resolve_name(name) is not None
    except (AttributeError, ImportError):
        return False


def public(node: ast.AST, path: str = "") -> Iterator[tuple[str, Documented]]:
    """Everything public below a module, by its dotted name, with `__init__` and other special methods."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if child.name.startswith("_") and not child.name.startswith("__"):
                continue
            yield f"{path}{child.name}", child
            yield from public(child, f"{path}{child.name}.")


def names_in(module: ast.Module) -> frozenset[str]:
    """All that a file imports or defines, and what every file may name."""
    own: set[str] = set()
    for node in ast.walk(module):
        if isinstance(node, ast.Import | ast.ImportFrom):
            own |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ClassDef):
            own.add(node.name)
    return _SHARED | own


def problems_of(path: Path) -> list[str]:
    """The problems in one file, each with the name of what it is about."""
    module = ast.parse(path.read_text("utf-8"))
    names = names_in(module)
    documented: list[tuple[str, Documented]] = [("the module", module), *public(module)]
    return [
        f"{name}: {problem}" for name, node in documented for problem in problems(ast.get_docstring(node) or "", names)
    ]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_raises_sections_name_one_error_a_line(path: Path) -> None:
    if str(path.relative_to(PACKAGE)) in PENDING:
        pytest.skip("its sections are still to be mended")
    assert problems_of(path) == []


def test_pending_files_have_problems() -> None:
    """One that is mended, moved or deleted leaves the list."""
    clean = [name for name in sorted(PENDING) if not (PACKAGE / name).exists() or not problems_of(PACKAGE / name)]
    assert clean == []


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("Raises:\n    ValueError: it is none.", 0),
        ("Raises:\n    ValueError: it is one that\n        takes two lines.\n    NotFound: there is none.", 0),
        ("Raises:\n    psycopg2.Error: nothing was stored.", 0),
        ("Raises:\n    ServerUnreachable, ServerRefused", 1),
        ("Raises:\n    ServerUnreachable, ServerRefused: it is away.\n    UsageError", 2),
        ("Raises:\n    NotFound: it is gone.\n    As `connect`.", 1),
        ("Raises:\n    NoSuchError: it is away.", 1),
        ("Raises:\n    psycopg2.NoSuchError: it is away.", 1),
        ("Raises:\n\nAnd more.", 1),
        ("Raises:", 1),
        ("Raises ValueError.", 1),
        ("Raises: ValueError", 1),
    ],
)
def test_sections_that_cannot_be_read_are_noticed(section: str, expected: int) -> None:
    found = problems(f"Do it.\n\n{section}", _SHARED)
    assert len(found) == expected, found
