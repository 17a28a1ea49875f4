"""What runs in a consumer's process: one instance, signals, and a watch on the supervisor."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue

from kafka.errors import AuthorizationError, KafkaError, SaslAuthenticationFailedError

from sesacctl import log
from sesacctl.broker.clients import translated
from sesacctl.errors import SesacctlError
from sesacctl.pipeline.allowance import AskedBudget
from sesacctl.pipeline.consume import Instance
from sesacctl.settings import Settings

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceOptions:
    """What an instance is started with; goes to its process by pickle.

    `on_budget`: the supervisor is asked before anything is stored.
    `crash_at` names a checkpoint at which the process kills itself, for fault tests.
    """

    settings: Settings
    kinds: tuple[str, ...]
    number: int
    member_id: str
    park_seconds: float
    accept_gap: bool
    on_budget: bool
    crash_at: str | None


@dataclass(frozen=True, slots=True)
class Fatal:
    """An instance's last words: an error that a restart cannot mend."""

    instance: int
    error: SesacctlError


@dataclass(frozen=True, slots=True)
class Stop:
    """The supervisor's request to drain. Not a signal: the process may not be ready for one yet."""


def main(options: InstanceOptions, supervisor: Connection) -> None:
    """Run one instance until the supervisor says `Stop` or is gone, or SIGTERM comes."""
    settings = options.settings
    log.configure(settings.sesac_log_level, "json" if settings.sesac_log_format == "json" else "text")
    stop = threading.Event()
    gc.freeze()  # what was imported is never garbage: it need not be looked through
    granted: SimpleQueue[int] = SimpleQueue()
    # In a thread: the handler may run while the main thread holds the event's own lock.
    signal.signal(signal.SIGTERM, lambda number, frame: threading.Thread(target=stop.set, daemon=True).start())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor decides
    threading.Thread(target=_obey, args=(supervisor, stop, granted), daemon=True).start()

    def checkpoint(label: str) -> None:
        if label == options.crash_at:
            os.kill(os.getpid(), signal.SIGKILL)

    instance = Instance(
        settings=settings,
        kinds=options.kinds,
        number=options.number,
        member_id=options.member_id,
        report=lambda status: _tell(supervisor, status),
        budget=AskedBudget(lambda message: _tell(supervisor, message), granted) if options.on_budget else None,
        park_seconds=options.park_seconds,
        accept_gap=options.accept_gap,
        checkpoint=checkpoint,
    )
    try:
        _run(instance, stop, settings)
    except SesacctlError as error:
        _tell(supervisor, Fatal(options.number, error))
    except KafkaError as error:  # such as another process that uses our member id: the supervisor starts us again
        logger.warning("%s", error, extra={"action": "consume.failed", "instance": options.number})
        raise SystemExit(1) from None


def _run(instance: Instance, stop: threading.Event, settings: Settings) -> None:
    try:
        instance.run(stop)
    except (AuthorizationError, SaslAuthenticationFailedError):
        with translated(settings):
            raise


def _tell(supervisor: Connection, message: object) -> None:
    try:
        supervisor.send(message)
    except OSError:
        return  # it is gone; `_obey` sees to the end


def _obey(supervisor: Connection, stop: threading.Event, granted: SimpleQueue[int]) -> None:
    """Hear the supervisor. The pipe ends with it, however it died: drain, and be gone before its session would be."""
    try:
        while True:
            message = supervisor.recv()
            if isinstance(message, Stop):
                stop.set()
            else:
                granted.put(message)
    except (EOFError, OSError):
        stop.set()
        granted.put(0)
        threading.Event().wait(DRAIN_SECONDS)
        os._exit(1)
