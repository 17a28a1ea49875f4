"""The keys of a JSON document, for tests that hold them still."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def paths(value: Any, path: str = "") -> Iterator[str]:
    """Every key with the keys that lead to it; `[]` stands for each item of a list."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from paths(each, f"{path}.{key}".lstrip("."))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for each in value:
            yield from paths(each, f"{path}[]")
    else:
        yield path
