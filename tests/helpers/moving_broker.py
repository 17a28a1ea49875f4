"""One broker behind a fixed address, and a move of it to another port: as a cluster whose hosts are all replaced."""

from __future__ import annotations

import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sesacctl.stack import broker_settings, java, ports
from sesacctl.stack.cluster import members
from sesacctl.stack.process import Program, stop, wait_ready
from tests.helpers.secure_broker import broker_program

_SETTINGS = """
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
"""


class Forward:
    """Takes connections on a port of its own and forwards them to `target`, a port as well."""

    def __init__(self, target: int) -> None:
        self.target = target
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._take, daemon=True).start()

    def close(self) -> None:
        """Take nobody any more."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _take(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, suppress(OSError), socket.create_connection(("127.0.0.1", self.target)) as server:
            while True:
                for one in select.select([connection, server], [], [])[0]:
                    if not (data := one.recv(65_536)):
                        return
                    (server if one is connection else connection).sendall(data)


class MovingBroker:
    """`address` is the bootstrap server that stays; the broker advertises where it is now."""

    def __init__(self, home: Path) -> None:
        self._home = home
        for folder in ("run", "logs"):
            (home / folder).mkdir(parents=True)
        broker_settings.write_logging(home / java.LOGGING)
        self.port, self._next, self._controller = ports.choose(3)
        self._write()
        self._program: Program
        self._program, self._environment = broker_program(home)
        self._forward = Forward(self.port)
        self.address = f"127.0.0.1:{self._forward.port}"

    def _write(self) -> None:
        settings = self._home / "run" / "broker.properties"
        broker_settings.write_broker(settings, 1, [(self.port, self._controller)], "data")
        settings.write_text(settings.read_text() + _SETTINGS)

    def start(self) -> None:
        """Until it answers."""
        self._program.spawn(self._environment)
        address = f"127.0.0.1:{self.port}"
        wait_ready([self._program], lambda: bool(members(address)), seconds=60, cancel=threading.Event())

    def move(self) -> None:
        """Stop it, and start it with the same data at another port; nobody answers at the old one."""
        stop([self._program], signal.SIGTERM, seconds=30)
        self.port, self._next = self._next, self.port
        self._write()
        self._forward.target = self.port
        self.start()

    def close(self) -> None:
        """End both."""
        self._forward.close()
        stop([self._program], signal.SIGKILL, seconds=10)


@contextmanager
def moving_broker(home: Path) -> Iterator[MovingBroker]:
    """Started, in `home`."""
    broker = MovingBroker(home)
    try:
        broker.start()
        yield broker
    finally:
        broker.close()
