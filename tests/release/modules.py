"""Imports each module of an installed sesacctl where its extras are not, and names those that need one silently.

A module may need an extra if its docstring says which: ``Needs the extra `web`.``. The script knows nothing but the
standard library, so that it runs in any environment; with `--hide-extras` it hides whatever sesacctl does not need by
itself, so that an environment with all of it counts as one without.
"""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Iterable, Iterator
from typing import Any

NAME = "sesacctl"
_NAMED = re.compile(r"[Nn]eeds the extra `[a-z]+`")


def main() -> int:
    """Exit code: 5 with a line for each module that cannot be imported and does not say why."""
    if "--hide-extras" in sys.argv:
        hide_extras()
    package = importlib.import_module(NAME)
    names = [info.name for info in pkgutil.walk_packages(package.__path__, f"{NAME}.")]
    wrong = [f"{name}: {error}" for name in names if (error := _problem(name))]
    print(*wrong, f"{len(names)} modules", sep="\n")
    return 5 if wrong else 0


def _problem(name: str) -> str | None:
    if name.endswith(".__main__"):  # it is the command
        return None
    try:
        importlib.import_module(name)
    except ImportError as error:
        return None if _NAMED.search(_docstring(name)) else str(error)
    return None


def _docstring(name: str) -> str:
    loader: Any = getattr(importlib.util.find_spec(name), "loader", None)
    return ast.get_docstring(ast.parse(loader.get_source(name) or "")) or ""


class _Hidden:
    """Stands in for Python's own finders, and finds nothing of what only extras and development bring."""

    def __init__(self) -> None:
        needed = {NAME, *_needed(NAME, set())}
        tops = importlib.metadata.packages_distributions()
        self._tops = {top for top, found in tops.items() if not needed & {_normal(name) for name in found}}
        self._finders: list[Any] = list(sys.meta_path)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] in self._tops:
            return None
        found = (finder.find_spec(name, path, target) for finder in self._finders)
        return next((spec for spec in found if spec is not None), None)

    def find_distributions(self, *context: Any) -> Iterator[Any]:
        for finder in self._finders:
            if hasattr(finder, "find_distributions"):
                yield from finder.find_distributions(*context)


def hide_extras() -> None:
    """Have this process find no package that sesacctl does not need by itself."""
    hidden: Any = _Hidden()
    sys.meta_path[:] = [hidden]


def _needed(package: str, seen: set[str], extras: Iterable[str] = ()) -> set[str]:
    """The packages that one with these extras needs, and whatever those need in turn."""
    from packaging.requirements import Requirement  # only where the developers' packages are

    for each in map(Requirement, importlib.metadata.requires(package) or ()):
        wanted = each.marker is None or any(each.marker.evaluate({"extra": extra}) for extra in ("", *extras))
        if wanted and _normal(each.name) not in seen:
            seen.add(_normal(each.name))
            _needed(each.name, seen, each.extras)
    return seen


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


if __name__ == "__main__":
    sys.exit(main())
