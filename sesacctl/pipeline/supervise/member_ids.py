"""This supervisor's id, kept across restarts, so that its instances stay the same static members."""

from __future__ import annotations

import fcntl
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import IO, Self
from uuid import UUID, uuid4

from sesacctl.errors import ConfigurationError, IdentityInUse
from sesacctl.home import IDENTITIES

_ANOTHER_NAME = "give each host a SESAC_MEMBER of its own, then sesacctl consume"


def _locked(path: Path) -> IO[str] | None:
    """The file, opened and locked; None if another process has it."""
    file = path.open("a+", encoding="ascii")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


class Identity:
    """Holds the name that was given, or the first free id of this home; a second supervisor takes the next.

    The lock goes with the process, so an id is free again even after kill -9.
    """

    def __init__(self, home: Path, name: str | None = None) -> None:
        """`home` is the state folder; it is made if it is missing. `name` takes the place of an id that is kept there.

        Raises:
            ConfigurationError: it cannot be written.
            IdentityInUse: another supervisor on this machine has that name.
        """
        folder = home / IDENTITIES
        self._name = name
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._lock_first_free(folder) if name is None else self._lock_name(folder, name)
        except OSError as error:
            raise ConfigurationError(
                f"{folder} cannot be written: {error.strerror}", hint="set SESAC_HOME to a folder that you may write"
            ) from None
        self.path = Path(self._file.name)
        self.id = name or self._read_or_make()

    @staticmethod
    def _lock_name(folder: Path, name: str) -> IO[str]:
        file = _locked(folder / f"{name}.name")
        if file is None:
            raise IdentityInUse(f"Another supervisor on this machine is SESAC_MEMBER {name}", hint=_ANOTHER_NAME)
        return file

    @staticmethod
    def _lock_first_free(folder: Path) -> IO[str]:
        return next(file for number in count() if (file := _locked(folder / f"{number}.id")) is not None)

    def _read_or_make(self) -> str:
        self._file.seek(0)
        try:
            return str(UUID(self._file.read().strip()))
        except ValueError:  # new, or half written by one that was killed
            name = str(uuid4())
            self._file.truncate(0)
            self._file.write(name)
            self._file.flush()
            return name

    def member(self, number: int) -> str:
        """The `group.instance.id` of instance `number`."""
        return f"{self.id}-{number}"

    def in_use(self, group: str) -> IdentityInUse:
        """The error for a supervisor whose members were replaced by those of another one."""
        if self._name is not None:
            return IdentityInUse(
                f"Another supervisor consumes as group {group} as the same SESAC_MEMBER, {self.id}", hint=_ANOTHER_NAME
            )
        return IdentityInUse(
            f"Another supervisor consumes as group {group} under the same identity, {self.id}:"
            f" {self.path} is a copy of that one's file, or the original",
            hint=f"delete {self.path} on one of the two hosts, then sesacctl consume",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()
