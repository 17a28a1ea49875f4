"""What a test may do to any server: kill it, stop it, pause it; and have it run again."""

from __future__ import annotations

import signal
from collections.abc import Callable

from sesacctl.errors import CheckFailed
from sesacctl.stack.process import Program, send, stop

_STOP_SECONDS = 30.0
_START = "restart() of its fixture"


class ServerProcess:
    """One process; `before` is called before anything is done to it."""

    def __init__(self, program: Program, before: Callable[[], None]) -> None:
        self._program = program
        self._before = before

    @property
    def pid(self) -> int:
        """Of the running server.

        Raises:
            CheckFailed: it does not run.
        """
        process = self._program.find()
        if process is None:
            raise CheckFailed(f"{self._program.name} does not run", hint=_START)
        return int(process.pid)

    def kill(self) -> None:
        """SIGKILL; returns when it is gone.

        Raises:
            CheckFailed: the system does not end it.
        """
        self._before()
        send(self._program, signal.SIGKILL)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it in order; returns when it is gone."""
        self._before()
        self.resume()
        stop([self._program], how, seconds=_STOP_SECONDS)

    def pause(self) -> None:
        """SIGSTOP: it keeps its connections and says nothing any more."""
        self._before()
        send(self._program, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        send(self._program, signal.SIGCONT)
