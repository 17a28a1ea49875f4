"""What runs in a consumer's process: one instance, signals, and a watch on the supervisor."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from queue import SimpleQueue

import psycopg2
from kafka.errors import (
    AuthorizationError,
    FencedInstanceIdError,
    InconsistentGroupProtocolError,
    KafkaError,
    SaslAuthenticationFailedError,
)

from sesacctl import log
from sesacctl.broker import groups
from sesacctl.broker.errors import translate_errors
from sesacctl.database.connections import to_sesacctl_error
from sesacctl.database.location import locate
from sesacctl.errors import ServerRefused, SesacctlError
from sesacctl.events import Kind
from sesacctl.pipeline.consume.instance import Instance
from sesacctl.pipeline.sink.sqlstates import Failure, classify
from sesacctl.pipeline.supervise.budget import RemoteBudget
from sesacctl.pipeline.supervise.mailbox import Mailbox
from sesacctl.pipeline.supervise.messages import Crash, FatalError, IdentityTaken, StatusRead, Stop
from sesacctl.settings import Settings

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 8.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceOptions:
    """What an instance is started with; goes to its process by pickle.

    `on_budget`: the supervisor is asked before anything is stored. `reads_ahead`: there is a core for it.
    For fault tests: at the checkpoint `crash_at` the process kills itself, at `fail_at` it raises an exception.
    """

    settings: Settings
    kinds: tuple[Kind, ...]
    number: int
    member_id: str
    park_seconds: float
    accept_gap: bool
    on_budget: bool
    reads_ahead: bool
    crash_at: str | None
    fail_at: str | None


def main(options: InstanceOptions, supervisor: Connection) -> None:
    """Run one instance until the supervisor says `Stop` or is gone, or SIGTERM comes.

    Any other end is reported to the supervisor; the exit code is 1 for what a restart may fix.
    """
    settings = options.settings
    form: log.Format = "json" if settings.sesac_log_format == "json" else "text"
    log.configure(settings.sesac_log_level, form, instance=options.number)  # several write to one stderr
    if form == "json":
        log.only_json()
    stop = threading.Event()
    gc.freeze()  # what was imported is never garbage: it need not be looked through
    granted: SimpleQueue[int] = SimpleQueue()
    mailbox = Mailbox(supervisor)
    # In a thread: the handler may run while the main thread holds the event's own lock.
    signal.signal(signal.SIGTERM, lambda _number, _frame: threading.Thread(target=stop.set, daemon=True).start())
    for number in (signal.SIGINT, signal.SIGHUP):  # they reach the whole group: the supervisor decides
        signal.signal(number, signal.SIG_IGN)
    listener = (supervisor, mailbox, stop, granted)
    threading.Thread(target=_listen_to_supervisor, args=listener, daemon=True).start()
    try:
        instance = Instance(
            settings=settings,
            kinds=options.kinds,
            number=options.number,
            member_id=options.member_id,
            report=mailbox.report,
            budget=RemoteBudget(mailbox.send, granted) if options.on_budget else None,
            park_seconds=options.park_seconds,
            accept_gap=options.accept_gap,
            reads_ahead=options.reads_ahead,
            checkpoint=_checkpoint(options),
        )
        instance.run(stop)
    except Exception as error:
        reason = _reason(error, settings)
        mailbox.send(reason)
        if not isinstance(reason, FatalError):
            raise SystemExit(1) from None
    finally:
        mailbox.close()


def _checkpoint(options: InstanceOptions) -> Callable[[str], None]:
    def checkpoint(label: str) -> None:
        if label == options.crash_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if label == options.fail_at:
            raise RuntimeError(f"planted {label}")

    return checkpoint


def _reason(error: Exception, settings: Settings) -> FatalError | IdentityTaken | Crash:
    if isinstance(error, SesacctlError):
        return FatalError(error)
    if isinstance(error, FencedInstanceIdError):
        return IdentityTaken()
    if isinstance(error, InconsistentGroupProtocolError):
        return FatalError(groups.refused(settings))
    if isinstance(error, AuthorizationError | SaslAuthenticationFailedError):
        return FatalError(_refused_by_kafka(error, settings))
    if isinstance(error, psycopg2.Error) and error.pgcode and classify(error) is not Failure.INFRA:
        return FatalError(to_sesacctl_error(error, settings) or _refused_by_postgresql(error, settings))
    return Crash.of(error)


def _refused_by_kafka(error: KafkaError, settings: Settings) -> SesacctlError:
    try:
        with translate_errors(settings):
            raise error
    except SesacctlError as ours:
        return ours


def _refused_by_postgresql(error: psycopg2.Error, settings: Settings) -> ServerRefused:
    text = " ".join(str(error).split())
    table = f" on table {error.diag.table_name}" if error.diag.table_name else ""
    return ServerRefused(
        f"PostgreSQL at {locate(settings).address} refused{table} (SQLSTATE {error.pgcode}): {text}",
        hint="sesacctl db check, then sesacctl consume",
    )


def _listen_to_supervisor(
    supervisor: Connection, mailbox: Mailbox, stop: threading.Event, granted: SimpleQueue[int]
) -> None:
    """Act on messages. The pipe ends with the supervisor, however it died: drain, and be gone before the session is."""
    try:
        while True:
            message = supervisor.recv()
            if isinstance(message, Stop):
                stop.set()
            elif isinstance(message, StatusRead):
                mailbox.on_status_read()
            else:
                granted.put(message)
    except (EOFError, OSError):
        stop.set()
        granted.put(0)
        threading.Event().wait(DRAIN_SECONDS)
        os._exit(1)
