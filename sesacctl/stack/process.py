"""Server processes that outlive the command that started them, and are never taken for another program."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from sesacctl import installation
from sesacctl.errors import CheckFailed, ConfigurationError, ServerNotStarted
from sesacctl.waiting import wait_until

if TYPE_CHECKING:
    import psutil

_INHERITED = ("PATH", "HOME", "TMPDIR", "TZ")
_POLL_SECONDS = 0.05
_KILL_SECONDS = 10.0
_GONE_SECONDS = 30.0


def require(module: str) -> ModuleType:
    """A module of the `local` extra.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise _not_installed(error) from None


def installed(package: str) -> Path:
    """The folder of a package of the `local` extra, found without running the package's code.

    Raises:
        ConfigurationError: it is not installed.
    """
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise _not_installed(package)
    return Path(found.origin).parent


def _not_installed(what: object) -> ConfigurationError:
    return installation.missing("the local servers are not installed:", "local", what)


@dataclass(frozen=True, slots=True)
class Account:
    """The system account that a server runs as."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """How one server is started, and recognized later.

    `marker` is an argument that no other program has (it holds the path of the stack's folder): a process counts as
    the server only if it has it and runs `argv[0]`, so a pid that now belongs to another program is never signalled.
    """

    name: str
    argv: tuple[str, ...]
    marker: str
    cwd: Path
    log: Path
    record: Path
    account: Account | None = None

    def find(self) -> psutil.Process | None:
        """The running `psutil.Process`, or None."""
        psutil = require("psutil")
        try:
            process = psutil.Process(int(json.loads(self.record.read_text())["pid"]))
        except (OSError, ValueError, KeyError, TypeError, psutil.NoSuchProcess):
            process = None
        if process is not None and self._is(process):
            return process
        # The record is written after the start: a command killed between the two leaves a server without one.
        return next((other for other in psutil.process_iter() if self._is(other)), None)

    def _is(self, process: psutil.Process) -> bool:
        psutil = require("psutil")
        try:
            command = process.cmdline()  # empty for a zombie
            return bool(command) and Path(command[0]).name == Path(self.argv[0]).name and self.marker in command
        except psutil.Error:
            return False

    def spawn(self, env: Mapping[str, str] | None = None) -> None:
        """Start it in its own session, with its output in its log and an environment without sesacctl's settings."""
        account = self.account
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        with self.log.open("ab") as log:
            started = subprocess.Popen(
                self.argv,
                cwd=self.cwd,
                env={**environment, "LC_ALL": "C.UTF-8", **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o077,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
            )
        self.record.write_text(json.dumps({"pid": started.pid, "name": self.name}))
        # The system shows a new program's arguments a moment after it has begun: until then `find` would not know it.
        pause = threading.Event()
        while started.poll() is None and self.find() is None:
            pause.wait(_POLL_SECONDS / 10)

    def tail(self, lines: int) -> list[str]:
        """The last lines of its log."""
        if not self.log.exists():
            return []
        return self.log.read_text(errors="replace").splitlines()[-lines:] if lines > 0 else []

    def failed(self, problem: str) -> ServerNotStarted:
        """The error that says so and shows the log's end."""
        return ServerNotStarted(f"{self.name} {problem}; its log is {self.log}", log_lines=self.tail(15))


def wait_ready(
    programs: Iterable[Program], ready: Callable[[], bool], *, seconds: float, cancel: threading.Event
) -> None:
    """Wait until `ready()`.

    Raises:
        ServerNotStarted: a process ended, or the time is up; holds the last lines of the log.
    """
    programs = list(programs)
    processes = {program.name: program.find() for program in programs}
    deadline = time.monotonic() + seconds
    while not ready():
        for program in programs:
            process = processes[program.name]
            if process is None or not is_alive(process):
                raise program.failed("ended while it was starting")
        if time.monotonic() > deadline or cancel.wait(_POLL_SECONDS):
            raise programs[0].failed(f"did not answer within {seconds:.0f} s")


def stop(
    programs: Iterable[Program], how: signal.Signals, *, seconds: float, last_seconds: float | None = None
) -> list[str]:
    """Stop the running ones, and kill those that do not end; returns the names of those that ran.

    They get `seconds` together; once only one is left of several, it gets `last_seconds`.
    """
    programs = list(programs)
    running = {program.name: process for program in programs if (process := program.find()) is not None}
    left = list(running.values())
    for process in left:
        send_signal(process, how)
    pause = threading.Event()
    deadline = time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        pause.wait(_POLL_SECONDS)
        before, left = len(left), [process for process in left if is_alive(process)]
        if len(left) == 1 < before and last_seconds is not None:
            deadline = min(deadline, time.monotonic() + last_seconds)
    for process in left:
        send_signal(process, signal.SIGKILL)
    deadline = time.monotonic() + _KILL_SECONDS
    while any(map(is_alive, left)) and time.monotonic() < deadline:
        pause.wait(_POLL_SECONDS)
    for program in programs:
        program.record.unlink(missing_ok=True)
    return list(running)


def send(program: Program, how: signal.Signals) -> None:
    """A signal to a server, if it runs; after SIGKILL, return when it is gone.

    Raises:
        CheckFailed: the system does not end it.
    """
    process = program.find()
    if process is None:
        return
    send_signal(process, how)
    if how is signal.SIGKILL and not wait_until(lambda: not is_alive(process), _GONE_SECONDS, every=0.02):
        raise CheckFailed(
            f"{program.name} is still there {_GONE_SECONDS:.0f} s after SIGKILL", hint="sesacctl stack status"
        )


def is_alive(process: psutil.Process) -> bool:
    """Whether it runs, and is not only waited for by its parent."""
    psutil = require("psutil")
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def send_signal(process: psutil.Process, how: signal.Signals) -> None:
    """Send it; nothing if the process has ended."""
    psutil = require("psutil")
    try:
        process.send_signal(how)  # psutil looks at the start time again, so that a reused pid is safe here too
    except psutil.NoSuchProcess:
        return
