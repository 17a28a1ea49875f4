"""Limits that are reached: descriptors and memory of our processes, and PostgreSQL's connections."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterable
from contextlib import suppress
from random import Random
from typing import Any

import psutil
import psycopg2

from tests.faults.fault import Fault, Kind, Scene

_HOLDS = (1.0, 4.0)
_FEW_DESCRIPTORS, _LITTLE_BYTES = 8, 2**20
_COMMANDS = ("producer", "refresher", "supervisor")


class Limited(Fault):
    """Processes that get no more of something; they are given back what they had, if they still run."""

    which: int

    def __init__(self, scene: Scene, dice: Random, *, among: tuple[str, ...]) -> None:
        super().__init__(scene, dice)
        self.target = dice.choice(among)
        self._share = dice.choice((0.3, 1.0))
        self._before: list[tuple[psutil.Process, tuple[int, int]]] = []

    def enough(self, process: psutil.Process) -> int:
        """The limit that it has already reached."""
        raise NotImplementedError

    def inject(self) -> None:
        """Limit them, and cut what they have: who only goes on would notice nothing."""
        child = self.site.children["supervisor" if self.target == "instances" else self.target]
        child.may_end = True
        for pid in self._pids():
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                limits = process.rlimit(self.which)
                process.rlimit(self.which, (self.enough(process), limits[1]))
                self._before.append((process, limits))
        for proxy in self.site.proxies.values():
            proxy.cut()

    def heal(self) -> None:
        """Give it back."""
        for process, limits in self._before:
            with suppress(psutil.Error):
                process.rlimit(self.which, limits)
        for child in self.site.children.values():
            child.recover()

    def _pids(self) -> Iterable[int]:
        if self.target != "instances":
            pid = self.site.children[self.target].pid
            return () if pid is None else (pid,)
        members = self.site.children["supervisor"].members()
        return self.dice.sample(members, max(1, int(len(members) * self._share))) if members else ()


class NoDescriptors(Limited):
    """EMFILE: half of the descriptors that are open would be too many."""

    which = resource.RLIMIT_NOFILE

    def enough(self, process: psutil.Process) -> int:
        """Half of what is open."""
        return int(max(_FEW_DESCRIPTORS, process.num_fds() // 2))


class NoMemory(Limited):
    """As `ulimit -v`: there is a little left."""

    which = resource.RLIMIT_AS

    def enough(self, process: psutil.Process) -> int:
        """What it has, and a little more."""
        return int(process.memory_info().vms + _LITTLE_BYTES)


class NoConnections(Fault):
    """Other clients have all of PostgreSQL's connections, those of the loop as well."""

    target = "connections"

    def inject(self) -> None:
        """Take what is free, end the loop's, and take those."""
        self._held: list[Any] = []
        self._take()
        for connection in self._held[:1]:
            with suppress(psycopg2.Error), connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity"
                    " WHERE application_name LIKE 'sesacctl/%'"
                )
        self._take()

    def heal(self) -> None:
        """Hang up."""
        for connection in self._held:
            connection.close()

    def _take(self) -> None:
        with suppress(psycopg2.Error):
            while True:
                self._held.append(self.site.connect())


def _limited(name: str, fault: Callable[..., Limited], among: tuple[str, ...]) -> Kind:
    return Kind(
        name=name, make=lambda scene, dice: fault(scene, dice, among=among), holds=_HOLDS, own_stack=True,
        from_heal=True, alone=True,
    )  # fmt: skip


KINDS = (
    _limited("instance.no-descriptors", NoDescriptors, ("instances",)),
    _limited("instance.no-memory", NoMemory, ("instances",)),
    _limited("command.no-descriptors", NoDescriptors, _COMMANDS),
    _limited("command.no-memory", NoMemory, _COMMANDS),
    Kind(name="postgres.no-connections", make=NoConnections, holds=_HOLDS, own_stack=True, from_heal=True),
)
