"""Ends what a test run started and left behind: a run that is interrupted or killed may not come to do it itself.

python -m tests.helpers.guardian FOLDER: waits until its standard input ends, as it does when whoever started it is
gone; then ends each process that has FOLDER in its PATH, which servers inherit too, and deletes FOLDER.
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

_ORDERLY_SECONDS = 10.0


class Guardian:
    """Watches over what this process and its children start, until `close` or until this process is gone."""

    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.guardian", str(folder)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is not for it
        )
        # Not before: it is not to find itself.
        os.environ["PATH"] += os.pathsep + str(folder)

    def close(self) -> None:
        """Have it do its work; returns when all is gone."""
        self._process.communicate(timeout=60)


def end_all(folder: str) -> None:
    """End the processes that have `folder` in their PATH: SIGINT, on which servers end in order, then SIGKILL."""
    how = signal.SIGINT
    while found := [process for process in psutil.process_iter() if _has(process, folder)]:
        for process in found:
            with suppress(psutil.Error):
                process.send_signal(how)
        psutil.wait_procs(found, timeout=_ORDERLY_SECONDS)
        how = signal.SIGKILL


def _has(process: psutil.Process, folder: str) -> bool:
    try:
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return folder in process.environ().get("PATH", "").split(os.pathsep)
    except (psutil.Error, OSError):
        return False


if __name__ == "__main__":
    sys.stdin.buffer.read()
    end_all(sys.argv[1])
    shutil.rmtree(sys.argv[1], ignore_errors=True)
