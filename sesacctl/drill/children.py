"""The loop's commands as child processes, kept running as a service manager would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from sesacctl.drill import instances

_TICK_SECONDS = 0.1
_RECOVER_SECONDS = 5.0
_AGAIN_SECONDS = (0.2, 1.0)  # until a command is started again: one that was killed, one that ended by itself


@dataclass(frozen=True, slots=True)
class Exit:
    """One end of a command; `asked`: it had been sent a signal, or lacked something.

    Codes are those of Popen: negative for a signal.
    """

    name: str
    code: int
    lived_seconds: float
    asked: bool
    last_words: str


class Child:
    """One command, started again whenever it ends as long as it is `wanted`."""

    def __init__(
        self,
        name: str,
        arguments: tuple[object, ...],
        environment: Mapping[str, str],
        folder: Path,
        *,
        cwd: Path | None = None,
        tethered: bool = False,
    ) -> None:
        """What it prints goes into `folder`, which it runs in unless `cwd` is given.

        One that is `tethered` ends in order when this process is gone, however that came.
        """
        self.name, self.arguments = name, tuple(map(str, arguments))
        self._cwd, self._module = cwd or folder, "sesacctl.drill.tether" if tethered else "sesacctl"
        self._stdin = subprocess.PIPE if tethered else subprocess.DEVNULL
        self.once: tuple[str, ...] = ()  # further arguments of the next start alone
        self.once_environment: dict[str, str] = {}
        self.wanted, self.asked = False, False
        self.may_end = False  # a fault takes away what it cannot do without
        self._forgiven_until = 0.0
        self.place: Callable[[], AbstractContextManager[None]] = nullcontext  # what starts within is on its host
        self._environment, self._folder = dict(environment), folder
        self.process: subprocess.Popen[bytes] | None = None
        self.starts = self._group = 0
        self._started = self._start_at = 0.0
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """Of the running process; None if there is none now."""
        process = self.process  # `Keeper` may let go of it meanwhile
        return process.pid if process is not None and process.poll() is None else None

    @property
    def errors(self) -> Path:
        """All that it has written to standard error."""
        return self._folder / f"{self.name}.err"

    def recover(self) -> None:
        """It has again what it lacked; it may end of that for some seconds more."""
        self.may_end, self._forgiven_until = False, time.monotonic() + _RECOVER_SECONDS

    def keep(self) -> Exit | None:
        """Notice an end, and start it when that is due."""
        with self._lock:
            ended = self._notice_end()
            if self.wanted and self.process is None and time.monotonic() >= self._start_at:
                self.start()
            return ended

    def send(self, how: signal.Signals) -> None:
        """Send it a signal; nothing if it does not run."""
        with self._lock:
            if self.process is not None:
                self.asked = self.asked or how is not signal.SIGCONT
                with suppress(ProcessLookupError):
                    self.process.send_signal(how)

    def end(self, seconds: float = 60.0) -> int | None:
        """Stop it for good, as an operator does; the exit code, None if it did not run or does not end."""
        self.wanted = False
        if (process := self.process) is None:
            return None
        self.send(signal.SIGTERM)
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End it and all its children at once."""
        self.wanted = False
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def has_descendants(self) -> bool:
        """Whether a process of its last start is left; they share its process group."""
        return self._group != 0 and instances.group_runs(self._group)

    def members(self) -> list[int]:
        """The pids of a supervisor's instances, in the order of their start."""
        return [process.pid for process in instances.of_supervisor(self.pid)] if self.pid else []

    def start(self) -> None:
        """Start it now, once; `Keeper` does it for those that are to be kept."""
        out, err = (self._folder / f"{self.name}.{end}" for end in ("out", "err"))
        with out.open("ab") as output, err.open("ab") as errors, self.place():
            self.process = subprocess.Popen(
                [sys.executable, "-m", self._module, *self.arguments, *self.once],
                env={**self._environment, **self.once_environment},
                cwd=self._cwd,
                stdin=self._stdin,
                stdout=output,
                stderr=errors,
                start_new_session=True,
            )
        self._group = self.process.pid
        self.once, self.once_environment, self.asked, self._started = (), {}, False, time.monotonic()
        self.starts += 1

    def _notice_end(self) -> Exit | None:
        if self.process is None or (code := self.process.poll()) is None:
            return None
        self.process = None
        now = time.monotonic()
        lacked = self.may_end or now < self._forgiven_until
        self._start_at = now + _AGAIN_SECONDS[not self.asked]
        lines = self.errors.read_text(errors="replace").splitlines()[-6:]
        return Exit(self.name, code, now - self._started, self.asked or lacked, "\n".join(lines))


class Keeper:
    """Keeps all children, in a thread of its own; `on_exit` is told of every end."""

    def __init__(self, on_exit: Callable[[Exit], None]) -> None:
        self.children: list[Child] = []
        self._on_exit = on_exit
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def add(self, child: Child) -> Child:
        """Start a command, and keep it running."""
        child.wanted = True
        if child not in self.children:
            self.children.append(child)
        return child

    def close(self) -> None:
        """Stop keeping, and kill what still runs."""
        self._stop.set()
        self._thread.join()
        for child in self.children:
            child.kill()

    def _run(self) -> None:
        while not self._stop.wait(_TICK_SECONDS):
            for child in list(self.children):
                if ended := child.keep():
                    self._on_exit(ended)
