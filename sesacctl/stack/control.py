"""Single servers of a running local stack: looked up, signalled, and started again as they were started."""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sesacctl.errors import CheckFailed
from sesacctl.stack import postgres, valkey
from sesacctl.stack.kafka import BROKERS as NUMBERS
from sesacctl.stack.layout import Layout
from sesacctl.stack.process import Program, send
from sesacctl.stack.process import stop as stop_programs
from sesacctl.stack.servers import Servers

if TYPE_CHECKING:
    import psutil

POSTGRES, VALKEY = postgres.NAME, valkey.NAME
BROKERS = tuple(f"kafka-{number}" for number in NUMBERS)
SERVERS = (POSTGRES, VALKEY, *BROKERS)
_STOP_SECONDS = 30.0


class ServerControl:
    """The servers of a stack that runs, by name: `postgres`, `valkey`, `kafka-1` …

    A broker is started with the arguments that it runs with now, whatever the stack would choose at its next `up`.
    """

    def __init__(self, home: Path) -> None:
        """Note how each one was started.

        Raises:
            CheckFailed: one of them does not run.
        """
        layout = Layout(home)
        servers = Servers(layout, layout.load())
        self.postgres, self.valkey = servers.postgres, servers.valkey
        self.programs: dict[str, Program] = {program.name: program for program in servers.programs}
        if down := [name for name, program in self.programs.items() if program.find() is None]:
            raise CheckFailed(f"not running: {', '.join(down)}", hint="sesacctl up")
        self._class_paths: dict[str, str] = {}
        for name in BROKERS:
            process = self.programs[name].find()
            assert process is not None, f"{name} has ended just now"
            self._class_paths[name] = process.environ()["CLASSPATH"]
            self.programs[name] = replace(self.programs[name], argv=tuple(process.cmdline()))

    def process(self, name: str) -> psutil.Process | None:
        """The running server."""
        return self.programs[name].find()

    def send(self, name: str, how: signal.Signals) -> None:
        """A signal to a server, if it runs; after SIGKILL, return when it is gone.

        Raises:
            CheckFailed: the system does not end it.
        """
        send(self.programs[name], how)

    def start(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        """Start a server that is down; a broker, or one with an `environment` of its own, answers later.

        Raises:
            ServerNotStarted: it ended, or does not answer.
        """
        if self.process(name) is not None:
            return
        if name in BROKERS:
            self.programs[name].spawn({"CLASSPATH": self._class_paths[name], **(environment or {})})
        elif environment:
            self.programs[name].spawn(environment)
        else:
            (self.postgres if name == POSTGRES else self.valkey).start(threading.Event())

    def stop(self, name: str) -> None:
        """End a server in order."""
        how = signal.SIGINT if name == POSTGRES else signal.SIGTERM
        stop_programs([self.programs[name]], how, seconds=_STOP_SECONDS)

    def restore(self, name: str) -> None:
        """Have a server run, whether it was stopped, killed or ended; errors as `start`."""
        self.send(name, signal.SIGCONT)
        self.start(name)
