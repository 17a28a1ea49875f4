"""The parts of the loop that a drill runs itself: the commands that a user would type, in processes of their own."""

from __future__ import annotations

import os
import shlex
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from sesacctl.drill.children import Child, Exit, Keeper
from sesacctl.drill.turning import Turning
from sesacctl.waiting import wait_until

INSTANCES = 4
RATE = 300
REFRESH_SECONDS = 3
_END_SECONDS = 60.0
_GROUP_SECONDS = 10.0


class Loop:
    """Those parts that do not turn yet. Each is started again when it ends, and none outlives this process."""

    def __init__(self, folder: Path, turning: Turning, *, seed: int, on_exit: Callable[[Exit], None]) -> None:
        """`folder` gets the ledgers, and what the commands print."""
        self._folder, self._seed, self._others = folder, seed, turning.supervisors
        self._environment = dict(os.environ)
        self.ledgers: list[Path] = []
        self.refresher = self.producer = self.supervisor = None
        if not turning.refresher:
            self.refresher = self._child("refresher", "cache", "refresh", "--loop", REFRESH_SECONDS, "-o", "jsonl")
        if not turning.consumers:
            self.supervisor = self._child("supervisor", "consume", "--wait", "-n", INSTANCES, "-o", "jsonl")
        if not turning.producer:
            self.producer = self._child("producer", "produce", "--rate", RATE, *self._from_ledger("ledger"))
        self._keeper = Keeper(on_exit)

    @property
    def own(self) -> list[str]:
        """The commands, as a user would type them."""
        return [f"sesacctl {shlex.join(child.arguments)}" for child in self._children()]

    def start(self) -> None:
        """Start them; they take some seconds."""
        for child in self._children():
            self._keeper.add(child)

    def supervisors(self) -> Sequence[int]:
        """The pids of all supervisors, own and others', as of now."""
        own = [self.supervisor.pid] if self.supervisor is not None and self.supervisor.pid else []
        return [*self._others, *own]

    def flood(self, orders: int) -> Child:
        """Begin to send orders as fast as Kafka takes them; its process ends by itself."""
        no_newcomers = ("--new-users", 0, "--new-products", 0)
        child = self._child("flood", "produce", "--count", orders, *no_newcomers, *self._from_ledger("flood"))
        self._keeper.children.append(child)  # ended with the others, and not started again
        child.start()
        return child

    def is_kept(self, name: str) -> bool:
        """Whether that one is started again when it ends."""
        return any(child.name == name and child.wanted for child in self._keeper.children)

    def end_producing(self) -> int | None:
        """End the own producer, once it knows what became of everything that it sent; None if there is none."""
        return self.producer.end(_END_SECONDS) if self.producer is not None else None

    def end(self) -> None:
        """End everything in order, all at once; what does not end is killed."""
        children = [child for child in self._keeper.children if child.pid is not None or child.wanted]
        ends = [threading.Thread(target=child.end, args=(_END_SECONDS,)) for child in children]
        for thread in ends:
            thread.start()
        for thread in ends:
            thread.join()
        # A supervisor's fork server ends a moment after it.
        wait_until(lambda: not any(child.has_descendants() for child in self._keeper.children), _GROUP_SECONDS)
        self._keeper.close()

    def _children(self) -> list[Child]:
        return [child for child in (self.refresher, self.supervisor, self.producer) if child is not None]

    def _child(self, name: str, *arguments: object) -> Child:
        return Child(name, arguments, self._environment, self._folder, cwd=Path.cwd(), tethered=True)

    def _from_ledger(self, name: str) -> tuple[object, ...]:
        path = self._folder / f"{name}.jsonl"
        self.ledgers.append(path)
        return "--ledger", path, "--random-seed", self._seed, "-o", "jsonl"
