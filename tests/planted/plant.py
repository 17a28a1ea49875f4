"""What a planted bug is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

STORM = "python -m tests.faults"
"""What begins the name of a storm of faults, where other names are tests'; exit code 5 if the promise was broken."""


class StalePlant(Exception):
    """A text to be replaced is not there exactly once."""


@dataclass(frozen=True, slots=True)
class Plant:
    """A bug: `edits` are pairs of a text that is in the file once, and what the bug has there.

    `tests` are to notice it, each of them: node ids of tests, or a storm with its options, `STORM`.
    """

    name: str
    file: str
    edits: tuple[tuple[str, str], ...]
    tests: tuple[str, ...]

    @property
    def room(self) -> str:
        """The package that the bug is in, or the module of sesacctl itself."""
        path = PurePosixPath(self.file).relative_to("sesacctl")
        return path.stem if str(path.parent) == "." else str(path.parent)

    def apply(self, source: str) -> str:
        """The source with the bug.

        Raises:
            StalePlant
        """
        for old, new in self.edits:
            if (times := source.count(old)) != 1:
                raise StalePlant(f"{self.name}: {times} times in {self.file}: {old!r}")
            source = source.replace(old, new)
        return source
