"""An instance's side of the pipe to its supervisor."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection

from sesacctl.pipeline.consume.status import Status


class Mailbox:
    """Sends to a supervisor that may not read for long, and never waits for it.

    One status at a time is on its way. Those that follow are added up until the supervisor has read it, so that the
    pipe does not fill, and no count is lost.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self._waiting: Status | None = None
        self._unread = False

    def report(self, status: Status) -> None:
        """Send a status now or later; it may be changed afterwards."""
        with self._lock:
            self._waiting = replace(status) if self._waiting is None else self._waiting.followed_by(status)
            if not self._unread:
                self._flush()

    def on_status_read(self) -> None:
        """The supervisor has read a status: the next one may go."""
        with self._lock:
            self._unread = False
            self._flush()

    def send(self, message: object) -> None:
        """Send at once, after all that was reported before: a question that waits for its answer, or a final error."""
        with self._lock:
            self._flush()
            self._send(message)

    def close(self) -> None:
        """Send what still waits."""
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        if self._waiting is not None:
            self._send(self._waiting)
            self._waiting, self._unread = None, True

    def _send(self, message: object) -> None:
        with suppress(OSError):  # the supervisor is gone; the thread that listens to it ends this process
            self._pipe.send(message)
