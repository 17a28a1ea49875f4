"""The consumer processes of a supervisor that runs on this machine, found and signalled from outside."""

from __future__ import annotations

import os
import signal
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from sesacctl.stack.process import is_alive, require

if TYPE_CHECKING:
    import psutil


def fork_server(supervisor: int) -> psutil.Process | None:
    """The process that a supervisor's instances are forked from; None if there is none now."""
    library = require("psutil")
    with suppress(library.Error):
        servers: list[psutil.Process] = library.Process(supervisor).children()
        return next((each for each in servers if "forkserver" in " ".join(each.cmdline())), None)
    return None


def of_supervisor(supervisor: int) -> list[psutil.Process]:
    """Its instances, in the order of their start."""
    psutil = require("psutil")
    with suppress(psutil.Error):
        if (server := fork_server(supervisor)) is not None:
            return sorted(server.children(), key=lambda each: float(each.create_time()))
    return []


def send(processes: Sequence[psutil.Process], numbers: Collection[int], how: signal.Signals) -> list[psutil.Process]:
    """A signal to those of these `numbers` that run; returns whom it was sent to."""
    psutil, reached = require("psutil"), []
    for number in numbers:
        if number < len(processes):
            with suppress(psutil.Error):
                processes[number].send_signal(how)
                reached.append(processes[number])
    return reached


def resume(processes: Collection[psutil.Process]) -> None:
    """Continue those that were stopped and are still there."""
    psutil = require("psutil")
    for process in processes:
        with suppress(psutil.Error):
            process.send_signal(signal.SIGCONT)


def group_runs(group: int) -> bool:
    """Whether a process of this process group is left, but for one that only waits to be reaped."""
    for process in require("psutil").process_iter():
        with suppress(OSError):
            if os.getpgid(process.pid) == group and is_alive(process):
                return True
    return False
