"""A bound on waiting for PostgreSQL that holds even when its backend was stopped.

`statement_timeout` is kept by the backend itself, so a stopped one never fires it, and psycopg2 cannot be interrupted
while it waits; its wait callback would forbid COPY. Shutting the socket down from another thread ends any wait.
"""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2


class NoAnswer(psycopg2.OperationalError):
    """PostgreSQL did not answer in time; the connection was cut."""


class _Watchdog:
    """One thread for all deadlines of the process: a thread for each would cost as much as a small statement."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._pending: dict[int, tuple[float, int]] = {}
        self._numbers = itertools.count()
        self._wakes_at = float("inf")
        self._thread: threading.Thread | None = None

    def add(self, descriptor: int, seconds: float) -> int:
        """Shut a socket, whose descriptor becomes ours to close, down in `seconds`; the number is for `remove`."""
        number, due = next(self._numbers), time.monotonic() + seconds
        with self._changed:
            self._pending[number] = (due, descriptor)
            if self._thread is None or not self._thread.is_alive():  # also after a fork
                self._thread = threading.Thread(target=self._run, name="postgres-deadline", daemon=True)
                self._thread.start()
            if due < self._wakes_at:
                self._changed.notify()
        return number

    def remove(self, number: int) -> bool:
        """Whether the deadline had passed."""
        with self._changed:
            entry = self._pending.pop(number, None)
        if entry:
            os.close(entry[1])
        return entry is None

    def _run(self) -> None:
        with self._changed:
            while True:
                now = time.monotonic()
                for number, (due, descriptor) in list(self._pending.items()):
                    if due <= now:
                        del self._pending[number]
                        _shut_down(descriptor)
                self._wakes_at = min((due for due, _ in self._pending.values()), default=float("inf"))
                self._changed.wait(None if self._wakes_at == float("inf") else self._wakes_at - now)


def _shut_down(descriptor: int) -> None:
    with socket.socket(fileno=descriptor) as connection:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:  # the other side was quicker
            return


_watchdog = _Watchdog()


@contextmanager
def deadline(connection: psycopg2.extensions.connection, seconds: float) -> Iterator[None]:
    """Cut `connection` unless the block ends within `seconds`; COPY included. Costs some microseconds.

    Raises:
        NoAnswer: the time was over; the connection is unusable.
    """
    # A duplicate: the number itself may belong to another file once libpq has closed its socket.
    number = _watchdog.add(os.dup(connection.fileno()), seconds)
    try:
        yield
    except psycopg2.Error as error:
        if _watchdog.remove(number):
            raise NoAnswer(f"no answer within {seconds:g} s") from error
        raise
    except BaseException:
        _watchdog.remove(number)
        raise
    if _watchdog.remove(number):
        raise NoAnswer(f"no answer within {seconds:g} s")
