"""A sign of life for `health --live`: a small file that a loop renews, so that a probe need not touch any server."""

from __future__ import annotations

import json
import logging
import os
import time
from dataclasses import dataclass
from pathlib import Path

from sesacctl.errors import ConfigurationError

logger = logging.getLogger(__name__)

FOLDER = "heartbeats"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """One loop's last sign of life; `seconds_left` below zero: it should have given the next one."""

    name: str
    pid: int
    seconds_left: float

    @property
    def alive(self) -> bool:
        """Whether the next sign is not overdue."""
        return self.seconds_left >= 0


class Heartbeat:
    """The file of one loop, below `SESAC_HOME`. A clean end removes it: a file that stays is a loop that died."""

    def __init__(self, home: Path, name: str) -> None:
        """Raises:
        ConfigurationError: the folder cannot be written.
        """
        self._path = home / FOLDER / f"{name}.json"
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._write(0.0)
        except OSError as error:
            raise ConfigurationError(f"SESAC_HOME: {self._path.parent} cannot be written: {error.strerror}") from None

    def beat(self, good_for: float) -> None:
        """Promise the next beat within `good_for` seconds. A full disk does not stop the loop."""
        try:
            self._write(good_for)
        except OSError as error:
            logger.warning("%s", error, extra={"action": "heartbeat.failed"})

    def remove(self) -> None:
        """The loop has ended as it should."""
        self._path.unlink(missing_ok=True)

    def _write(self, good_for: float) -> None:
        # Monotonic, hence the same for all processes since the machine's start: a clock set back or ahead kills nobody.
        document = {"pid": os.getpid(), "at": time.monotonic(), "good_for": good_for}
        temporary = self._path.with_suffix(f".{os.getpid()}")
        temporary.write_text(json.dumps(document))
        temporary.replace(self._path)


def read_pulses(home: Path) -> tuple[Pulse, ...]:
    """The loops that run on this machine, or died here. A file from before a reboot counts as dead."""
    pulses = []
    for path in sorted((home / FOLDER).glob("*.json")):
        try:
            document = json.loads(path.read_text())
            age, pid = time.monotonic() - float(document["at"]), int(document["pid"])
            left = float(document["good_for"]) - age if age >= 0 else -1.0
        except FileNotFoundError:
            continue
        except (OSError, ValueError, KeyError, TypeError):
            left, pid = -1.0, 0
        pulses.append(Pulse(name=path.stem, pid=pid, seconds_left=left))
    return tuple(pulses)
