"""What runs in a consumer's process: one instance, signals, and a watch on the supervisor."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from kafka.errors import KafkaError

from sesacctl import log
from sesacctl.errors import SesacctlError
from sesacctl.pipeline.consume import Instance
from sesacctl.settings import Settings

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceOptions:
    """What an instance is started with; goes to its process by pickle.

    `crash_at` names a checkpoint at which the process kills itself, for fault tests.
    """

    settings: Settings
    kinds: tuple[str, ...]
    number: int
    member_id: str
    park_seconds: float
    accept_gap: bool
    crash_at: str | None


@dataclass(frozen=True, slots=True)
class Fatal:
    """An instance's last words: an error that a restart cannot mend."""

    instance: int
    error: SesacctlError


class SharedBudget:
    """`Budget` over a counter in shared memory."""

    def __init__(self, left: Any) -> None:
        self._left = left

    def take(self, most: int) -> int:
        """Reserve up to `most` events."""
        with self._left.get_lock():
            granted = min(most, int(self._left.value))
            self._left.value -= granted
            return granted

    def give_back(self, unused: int) -> None:
        """Return what was not used."""
        with self._left.get_lock():
            self._left.value += unused


def main(options: InstanceOptions, supervisor: Connection, left: Any) -> None:
    """Run one instance until SIGTERM, or until the supervisor is gone."""
    settings = options.settings
    log.configure(settings.sesac_log_level, "json" if settings.sesac_log_format == "json" else "text")
    stop = threading.Event()
    gc.freeze()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor decides
    threading.Thread(target=_watch_supervisor, args=(supervisor, stop), daemon=True).start()

    def checkpoint(label: str) -> None:
        if label == options.crash_at:
            os.kill(os.getpid(), signal.SIGKILL)

    instance = Instance(
        settings=settings,
        kinds=options.kinds,
        number=options.number,
        member_id=options.member_id,
        report=lambda status: _tell(supervisor, status),
        budget=None if left is None else SharedBudget(left),
        park_seconds=options.park_seconds,
        accept_gap=options.accept_gap,
        checkpoint=checkpoint,
    )
    try:
        instance.run(stop)
    except SesacctlError as error:
        _tell(supervisor, Fatal(options.number, error))
    except KafkaError as error:  # such as another process that uses our member id: the supervisor starts us again
        logger.warning("%s", error, extra={"action": "consume.failed", "instance": options.number})
        raise SystemExit(1) from None


def _tell(supervisor: Connection, message: object) -> None:
    try:
        supervisor.send(message)
    except OSError:
        return  # it is gone; `_watch_supervisor` sees to the end


def _watch_supervisor(supervisor: Connection, stop: threading.Event) -> None:
    """The pipe ends with the supervisor, however it died: drain, and be gone before its session would be."""
    try:
        supervisor.recv()
    except (EOFError, OSError):
        stop.set()
        threading.Event().wait(DRAIN_SECONDS)
        os._exit(1)
