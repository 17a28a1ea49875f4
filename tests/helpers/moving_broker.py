"""One broker behind a fixed address, and a move of it to another port: as a cluster whose hosts are all replaced."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sesacctl.stack import broker_settings, java, ports
from sesacctl.stack.cluster import members
from sesacctl.stack.process import Program, stop, wait_ready
from tests.helpers.proxy import Proxy, tcp
from tests.helpers.secure_broker import broker_program

_SETTINGS = """
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
"""


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
        self._forward = Proxy(tcp(self.port))
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
        self._forward.target = tcp(self.port)
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
