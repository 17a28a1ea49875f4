"""Ends what a run of pytest started and left behind, as a run that is killed does not come to do it itself.

`python -m sesacctl.testing.guardian FOLDER PID` waits until PID is gone; then it stops the stacks in FOLDER, ends each
process that has FOLDER in its PATH, and deletes FOLDER.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sesacctl.errors import SesacctlError
from sesacctl.stack.filelock import file_lock
from sesacctl.stack.layout import STATE, Layout
from sesacctl.stack.process import is_alive, require, send, send_signal, stop
from sesacctl.stack.servers import Servers

if TYPE_CHECKING:
    import psutil

_ORDERLY_SECONDS = 10.0
_SERVER_SECONDS = 30.0


def watch(folder: Path, pid: int) -> None:
    """Start one, in a session of its own: Ctrl-C is not for it."""
    subprocess.Popen(
        [sys.executable, "-m", __spec__.name, str(folder), str(pid)],
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def clear(folder: Path) -> None:
    """Stop and end what belongs to a folder, and delete it."""
    for state in folder.glob(f"*/{STATE}"):
        end_servers(state.parent)
    _end_marked(str(folder))
    shutil.rmtree(folder, ignore_errors=True)


def end_servers(home: Path) -> None:
    """Stop a stack whose data nobody wants: only PostgreSQL in order, as it would leave shared memory behind."""
    layout = Layout(home)
    with suppress(SesacctlError, OSError), file_lock(layout.lock, on_wait=lambda: None):
        servers = Servers(layout, layout.load())
        stop([*servers.kafka.programs, servers.valkey.program], signal.SIGKILL, seconds=_SERVER_SECONDS)
        send(servers.postgres.program, signal.SIGCONT)  # a test may have paused it
        servers.postgres.stop()
        shutil.rmtree(home, ignore_errors=True)


def _end_marked(folder: str) -> None:
    """SIGINT, on which programs end in order, then SIGKILL."""
    psutil = require("psutil")
    how = signal.SIGINT
    while found := [process for process in psutil.process_iter() if _has(process, folder)]:
        for process in found:
            send_signal(process, how)
        psutil.wait_procs(found, timeout=_ORDERLY_SECONDS)
        how = signal.SIGKILL


def _has(process: psutil.Process, folder: str) -> bool:
    try:
        marked = folder in process.environ().get("PATH", "").split(os.pathsep)
        return marked and process.pid != os.getpid() and is_alive(process)
    except (require("psutil").Error, OSError):
        return False


def _wait_gone(pid: int) -> None:
    psutil = require("psutil")
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait()


if __name__ == "__main__":
    _wait_gone(int(sys.argv[2]))
    clear(Path(sys.argv[1]))
