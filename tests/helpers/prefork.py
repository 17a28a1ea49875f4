"""Commands as forks of a process that has imported everything: imports are most of a short command's time.

Each is a process of its own, with its own environment, folder and streams. What depends on how Python itself starts
runs as `python -m sesacctl` instead; see `Cli`.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import pkgutil
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_LAZY = (
    *("alembic.autogenerate", "alembic.command", "prometheus_client", "sqlalchemy.orm"),
    *("rich.live", "rich.progress", "rich.table", "typer.core", "typer.main"),
)


class Prefork:
    """Runs one command at a time, for one worker of pytest."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.helpers.prefork", str(theirs.fileno())],
                env=dict(environment),
                cwd=Path(__file__).parents[2],
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
            )
        self._socket, self._answers = ours, ours.makefile("rb")
        self._busy = threading.Lock()

    def run(
        self, *arguments: str, env: Mapping[str, str], cwd: Path, timeout: float, input: str | None
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` with pipes for all three streams."""
        with self._busy, tempfile.TemporaryDirectory(prefix="sesac-") as folder:
            paths = [str(Path(folder, name)) for name in ("in", "out", "err")]
            Path(paths[0]).write_text(input or "", encoding="utf-8")
            request = {"arguments": arguments, "env": dict(env), "cwd": str(cwd), "paths": paths}
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            pid = self._answer()
            killer = threading.Timer(timeout, os.kill, (pid, signal.SIGKILL))
            killer.start()
            code = self._answer()
            killer.cancel()
            out, err = (Path(path).read_bytes().decode() for path in paths[1:])
        if killer.finished.is_set() and code == -signal.SIGKILL:
            raise subprocess.TimeoutExpired(arguments, timeout, out, err)
        return subprocess.CompletedProcess(["sesacctl", *arguments], code, out, err)

    def close(self) -> None:
        """End the process."""
        self._answers.close()
        self._socket.close()
        self._process.wait(60)

    def _answer(self) -> int:
        return int(self._answers.readline())


def _serve(connection: socket.socket) -> None:
    """Fork for every request; returns only in a fork, which is to run its command."""
    requests = connection.makefile("rb")
    while line := requests.readline():
        request = json.loads(line)
        if (pid := os.fork()) == 0:
            requests.close()
            connection.close()
            _become(**request)
            return
        connection.sendall(b"%d\n" % pid)
        _, status = os.waitpid(pid, 0)
        connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
    sys.exit()


def _become(arguments: list[str], env: dict[str, str], cwd: str, paths: list[str]) -> None:
    for number, path in enumerate(paths):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT if number else os.O_RDONLY, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    os.chdir(cwd)
    sys.argv = ["sesacctl", *arguments]


def import_all() -> None:
    """Everything but the commands, once and for all forks."""
    package: Any = importlib.import_module("sesacctl")
    names = [module.name for module in pkgutil.walk_packages(package.__path__, "sesacctl.")]
    # Not the commands: they look at the terminal when they are imported.
    for name in (*_LAZY, *(name for name in names if not name.startswith(("sesacctl.cli", "sesacctl.__main__")))):
        importlib.import_module(name)
    assert threading.active_count() == 1, "a fork would lack the other threads"
    gc.collect()
    gc.freeze()


if __name__ == "__main__":
    import_all()
    _serve(socket.socket(fileno=int(sys.argv[1])))
    try:
        runpy.run_module("sesacctl", run_name="__main__", alter_sys=True)
    except SystemExit as end:  # as Python would, but without taking apart all that was imported
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else end.code is not None)
