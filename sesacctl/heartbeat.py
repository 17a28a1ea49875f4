"""The heartbeat for `health --live`: a small file that a loop renews, so that a liveness probe contacts no server."""

from __future__ import annotations

import fcntl
import itertools
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

from sesacctl.errors import ConfigurationError

logger = logging.getLogger(__name__)

FOLDER = "heartbeats"
START_SECONDS = 60.0
"""What a loop may take from its start to its first beat."""
# By the first word of a loop's name.
_COMMANDS = {
    "cache": "sesacctl cache refresh --loop 50",
    "produce": "sesacctl produce",
    "consume": "sesacctl consume --instances 9",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """One loop's last heartbeat; `seconds_left` below zero: the next one is overdue."""

    name: str
    pid: int
    seconds_left: float

    @property
    def alive(self) -> bool:
        """Whether the next heartbeat is not overdue."""
        return self.seconds_left >= 0

    @property
    def command(self) -> str:
        """What starts such a loop again."""
        return _COMMANDS.get(self.name.partition("-")[0], "sesacctl --help")


class Heartbeat:
    """The file of one loop, below `SESAC_HOME`. A normal end removes it: a file that stays is a loop that died.

    with Heartbeat(settings.sesac_home, "consume-0") as heartbeat:
        while not stop.is_set():
            heartbeat.beat(good_for=10.0)
            ...
    """

    def __init__(self, home: Path, name: str) -> None:
        """`name`: the kind of loop; a second one that runs on this machine gets a number behind it.

        Raises:
            ConfigurationError: the folder cannot be written.
        """
        folder = home.expanduser() / FOLDER
        self._good_for, self._written, self._failed = 0.0, 0.0, False
        self._due = time.monotonic() + START_SECONDS
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with _one_at_a_time(folder):
                _forget_other_boots(folder)
                self._path = _free(folder, name)
                self._write(START_SECONDS)
        except OSError as error:
            raise ConfigurationError(f"SESAC_HOME: {folder} cannot be written: {error.strerror}") from None
        _own.append(self)

    def beat(self, good_for: float) -> None:
        """Promise the next beat within `good_for` seconds; cheap in every iteration.

        A full disk stops no loop, and is said once.
        """
        self._due = time.monotonic() + good_for
        if good_for == self._good_for and time.monotonic() - self._written < good_for / 10:
            return
        try:
            self._write(good_for)
        except OSError as error:
            if not self._failed:  # a loop beats many times a second
                logger.warning("%s", error, extra={"action": "heartbeat.failed"})
            self._failed = True

    def remove(self) -> None:
        """The loop has ended as it should."""
        if self in _own:
            _own.remove(self)
        self._path.unlink(missing_ok=True)

    @property
    def pulse(self) -> Pulse:
        """The last heartbeat as this process knows it, whatever became of the file."""
        return Pulse(name=self._path.stem, pid=os.getpid(), seconds_left=self._due - time.monotonic())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.remove()

    def _write(self, good_for: float) -> None:
        # Monotonic and the same for all processes since boot: setting the wall clock makes no loop look dead.
        now = time.monotonic()
        document = {"pid": os.getpid(), "at": now, "good_for": good_for, "boot": _boot()}
        temporary = self._path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(document))
        temporary.replace(self._path)
        self._good_for, self._written, self._failed = good_for, now, False


_own: list[Heartbeat] = []


def own_pulses() -> tuple[Pulse, ...]:
    """The loops of this process that have not ended, without a look at any file."""
    return tuple(heartbeat.pulse for heartbeat in list(_own))


def read_pulses(home: Path) -> tuple[Pulse, ...]:
    """The loops that run on this machine, or died here since it was started."""
    found = (_read(path) for path in sorted((home.expanduser() / FOLDER).glob("*.json")))
    return tuple(pulse for pulse in found if pulse is not None)


def in_use(home: Path) -> frozenset[str]:
    """The names of the loops whose processes run on this machine."""
    return frozenset(pulse.name for pulse in read_pulses(home) if pulse.alive and _runs(pulse.pid))


def _read(path: Path) -> Pulse | None:
    try:
        document = json.loads(path.read_text())
        age, pid = time.monotonic() - float(document["at"]), int(document["pid"])
        left = float(document["good_for"]) - age
        if age < 0 or document.get("boot", _boot()) != _boot():
            return None
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        left, pid = -1.0, 0
    return Pulse(name=path.stem, pid=pid, seconds_left=left)


@cache
def _boot() -> str:
    """Different after each boot, on Linux; elsewhere only the monotonic clock shows a reboot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Two loops that start at once must not take the same name."""
    with (folder / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _forget_other_boots(folder: Path) -> None:
    for path in folder.glob("*.json"):
        if _read(path) is None:
            path.unlink(missing_ok=True)


def _free(folder: Path, name: str) -> Path:
    """The first file that no running loop renews."""
    numbers = itertools.count(2)
    path = folder / f"{name}.json"
    while (pulse := _read(path)) is not None and pulse.alive and _runs(pulse.pid):
        path = folder / f"{name}-{next(numbers)}.json"
    return path


def _runs(pid: int) -> bool:
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True
