"""A Valkey (a Redis) for tests, and a database of its own for each of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from redis import Redis

from sesacctl.stack import ports
from sesacctl.stack.layout import Layout
from sesacctl.stack.valkey import Valkey
from sesacctl.testing.run import Run
from sesacctl.testing.server import ServerProcess

VALKEY = ("Valkey",)
_DATABASES = 255  # without number 0, which counts them


@dataclass(frozen=True, slots=True)
class KeyDatabase:
    """Where one of a server's numbered databases is."""

    host: str
    port: int
    number: int

    @property
    def url(self) -> str:
        """`redis://…`."""
        return f"redis://{self.host}:{self.port}/{self.number}"

    def client(self) -> Redis:
        """Of redis-py, synchronous."""
        return Redis(host=self.host, port=self.port, db=self.number)


class ValkeyServer:
    """The server of a run; it runs again when the test that stopped it is over. It forgets one second at most."""

    def __init__(self, run: Run) -> None:
        run.start(VALKEY)
        layout = Layout(run.home)
        self._server = Valkey(layout, layout.load())
        self._process = ServerProcess(self._server.program, run.break_servers)

    def database(self, number: int = 0) -> KeyDatabase:
        """One of its databases."""
        return KeyDatabase(ports.HOST, self._server.port, number)

    @property
    def pid(self) -> int:
        """Of the server."""
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._process.kill()

    def stop(self) -> None:
        """End it in order."""
        self._process.stop()

    def restart(self) -> None:
        """End it in order, if it runs, and start it; it answers when this returns.

        Raises:
            ServerNotStarted: it ended, or does not answer.
        """
        self._process.stop()
        self._server.start(threading.Event())

    @contextmanager
    def share(self) -> Iterator[KeyDatabase]:
        """An empty database, emptied again at the end."""
        with next_database(self.database()) as database:
            yield database


@contextmanager
def next_database(first: KeyDatabase) -> Iterator[KeyDatabase]:
    """See `ValkeyServer.share`; `first` is database 0."""
    with first.client() as counter:
        number = int(counter.incr("tests:databases")) % _DATABASES + 1
    database = KeyDatabase(first.host, first.port, number)
    _empty(database)
    try:
        yield database
    finally:
        _empty(database)


def _empty(database: KeyDatabase) -> None:
    with database.client() as client:
        client.flushdb()
