"""Processor time by who used it: clients, PostgreSQL's backends and its background processes, brokers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from sesacctl.stack import stack

GROUPS = ("client", "backends", "background", "brokers")
_BACKGROUND = ("checkpointer", "background writer", "walwriter", "autovacuum", "logical replication", "io worker")


class Meter:
    """Reads the processor time of the servers in `home` and of clients; `observer` is a backend that does not count."""

    def __init__(self, home: Path, observer: int) -> None:
        pids = {status.server: status.pid for status in stack.status(home)}
        self._brokers = [psutil.Process(pid) for name, pid in pids.items() if name.startswith("kafka")]
        self._postmaster = psutil.Process(pids["postgres"])
        self._observer = observer

    def read(self, clients: Iterable[int]) -> dict[str, float]:
        """Seconds by group since the start of each process; `clients` are the roots of trees of processes."""
        found = {"client": sum(_tree(pid) for pid in clients), "brokers": sum(map(_own, self._brokers))}
        times = self._postmaster.cpu_times()
        # Backends that have ended are in the postmaster's children.
        found |= {"background": times.user + times.system, "backends": times.children_user + times.children_system}
        for child in self._postmaster.children():
            with suppress(psutil.NoSuchProcess):
                title = " ".join(child.cmdline())
                if child.pid != self._observer:
                    group = "background" if any(name in title for name in _BACKGROUND) else "backends"
                    found[group] += _own(child)
        return found


def per_row(before: Mapping[str, float], after: Mapping[str, float], rows: int) -> dict[str, float]:
    """Microseconds for each row, by group."""
    return {group: 1e6 * (after[group] - before[group]) / rows for group in GROUPS}


def has_ended(pid: int) -> bool:
    """Whether a child that was not waited for has ended."""
    return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def _tree(pid: int) -> float:
    """Of a process that may have ended but was not waited for, its children and those that it waited for."""
    root = psutil.Process(pid)
    return sum(_own(process, with_ended=True) for process in (root, *root.children(recursive=True)))


def _own(process: psutil.Process, *, with_ended: bool = False) -> float:
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system + with_ended * (times.children_user + times.children_system))
    return 0.0
