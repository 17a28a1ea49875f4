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

import psutil

from sesacctl.errors import SesacctlError
from sesacctl.stack.filelock import file_lock
from sesacctl.stack.layout import STATE, Layout
from sesacctl.stack.process import send_signal, stop
from sesacctl.stack.servers import Servers

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
        if (postmaster := servers.postgres.program.find()) is not None:
            send_signal(postmaster, signal.SIGCONT)  # a test may have paused it
        servers.postgres.stop()
        shutil.rmtree(home, ignore_errors=True)


def _end_marked(folder: str) -> None:
    """SIGINT, on which programs end in order, then SIGKILL."""
    how = signal.SIGINT
    while found := [process for process in psutil.process_iter() if _has(process, folder)]:
        for process in found:
            with suppress(psutil.Error):
                process.send_signal(how)
        psutil.wait_procs(found, timeout=_ORDERLY_SECONDS)
        how = signal.SIGKILL


def _has(process: psutil.Process, folder: str) -> bool:
    try:
        if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
            return False
        return folder in process.environ().get("PATH", "").split(os.pathsep)
    except (psutil.Error, OSError):
        return False


def _wait_gone(pid: int) -> None:
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait()


if __name__ == "__main__":
    _wait_gone(int(sys.argv[2]))
    clear(Path(sys.argv[1]))
