"""A file of `db dump`, read by pg_restore, which connects to nothing for that."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from sesacctl import files
from sesacctl.database import client_programs, row_security
from sesacctl.database.schema.version_table import VERSION_TABLE
from sesacctl.errors import CheckFailed, UsageError
from sesacctl.events import ORDERS, PRODUCTS, USERS

_MAGIC = b"PGDMP"
_HINT = "a file that sesacctl db dump has written"
_MADE_AT = re.compile(r"^;\s+Archive created at (\S+ \S+) UTC$", re.MULTILINE)
_DATA = re.compile(r"^\d+; \d+ \d+ TABLE DATA (\S+) (\S+) ")
_COPY = re.compile(rb'COPY (?:.*\.)?"?(\w+)"? \((.*)\) FROM stdin;\r?\n')
_END = b"\\.\n"
# What orders refer to comes first.
_FIRST = (USERS, PRODUCTS)


class Rows:
    """The lines of one table, as a file for COPY."""

    def __init__(self, stream: IO[bytes], table: str, columns: str) -> None:
        self.table, self.columns = table, columns
        self._stream = stream
        self._ended = False

    def read(self, size: int) -> bytes:
        """Some whole lines; empty at the end."""
        found: list[bytes] = []
        while not self._ended and size > 0:
            line = self._stream.readline()
            if line in (_END, b""):
                self._ended = True
                break
            found.append(line)
            size -= len(line)
        return b"".join(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """What is in the file: `entries` are the lines of its table of contents for the rows of each table."""

    path: Path
    program: Path
    made_at: datetime | None
    entries: Sequence[tuple[str, str]]

    @contextmanager
    def rows(self) -> Iterator[Iterator[Rows]]:
        """The rows of each table but the revision's, one table after the other; each is to be read to its end.

        Raises:
            CheckFailed: pg_restore cannot read the file.
        """
        rank = {name.value: number for number, name in enumerate(_FIRST)}
        wanted = sorted(self.entries, key=lambda entry: rank.get(entry[0], len(rank)))
        with _reading(self, [line for name, line in wanted if name != VERSION_TABLE]) as stream:
            yield _blocks(stream)

    def revision(self) -> str:
        """The schema's revision when it was made."""
        with _reading(self, [line for name, line in self.entries if name == VERSION_TABLE]) as stream:
            found = [rows.read(1_000).decode().strip() for rows in _blocks(stream)]
        return found[0] if found else ""


def open_archive(path: Path) -> Archive:
    """Look into the file.

    Raises:
        UsageError: it cannot be read, or is not such a file.
        CheckFailed: pg_restore cannot read it, or tables are missing in it.
        ConfigurationError: there is no pg_restore.
    """
    try:
        files.require_file(path)
        with path.open("rb") as file:
            begins = file.read(len(_MAGIC))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint=_HINT) from None
    if begins != _MAGIC:
        raise UsageError(f"{path} is not a dump in pg_dump's custom format", hint=_HINT)
    program = client_programs.find("pg_restore", at_least=client_programs.OLDEST)
    done = subprocess.run(
        [str(program), "--list", str(path)],
        env={**os.environ, "TZ": "UTC"},
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise _unreadable(path, done.stderr)
    entries = [(match[2], line) for line in done.stdout.splitlines() if (match := _DATA.match(line))]
    if missing := set(row_security.TABLES) - {name for name, _ in entries} - _partitioned(done.stdout):
        raise CheckFailed(
            f"{path} is not of this sesacctl's tables: {', '.join(sorted(missing))} not in it",
            hint="restore it with the version that made it, then sesacctl db migrate with this one",
        )
    return Archive(path=path, program=program, made_at=_made_at(done.stdout), entries=entries)


def _made_at(listed: str) -> datetime | None:
    found = _MADE_AT.search(listed)
    return datetime.fromisoformat(found[1]).replace(tzinfo=UTC) if found else None


def _partitioned(listed: str) -> set[str]:
    """Of `orders`, rows may be in partitions alone: each has an entry of its own name."""
    return {ORDERS.value} if " TABLE ATTACH " in listed else set()


def _blocks(stream: IO[bytes]) -> Iterator[Rows]:
    for line in stream:
        if match := _COPY.fullmatch(line):
            rows = Rows(stream, match[1].decode(), match[2].decode())
            yield rows
            while rows.read(1 << 20):  # what was not wanted
                pass


@contextmanager
def _reading(archive: Archive, lines: Sequence[str]) -> Iterator[IO[bytes]]:
    with tempfile.NamedTemporaryFile("w", suffix=".list") as contents, tempfile.TemporaryFile() as said:
        contents.write("\n".join(lines) + "\n")
        contents.flush()
        with subprocess.Popen(
            [str(archive.program), "--data-only", f"--use-list={contents.name}", "--file=-", str(archive.path)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
        ) as process:
            assert process.stdout is not None
            try:
                yield process.stdout
                process.stdout.read()
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            said.seek(0)
            raise _unreadable(archive.path, said.read().decode(errors="replace"))


def _unreadable(path: Path, said: str) -> CheckFailed:
    return CheckFailed(f"{path} cannot be read: {' '.join(said.split())}", hint=f"another file: {_HINT}")
