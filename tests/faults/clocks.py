"""Clocks that are wrong by an hour: of one of our commands, or of a server, from one start to the next."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from random import Random

from sesacctl.stack.control import BROKERS, POSTGRES, VALKEY
from tests.faults.fault import Fault, Kind, Scene
from tests.faults.servers import OwnServers
from tests.helpers.waiting import wait_until

_HOLDS = (3.0, 8.0)
_SHIFTS = ("+1h", "-1h")


def _library() -> str | None:
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    return str(found[0]) if found else None


def _shifted(shift: str) -> dict[str, str]:
    library = _library()
    assert library is not None
    # Only the time of the day is wrong: no machine's monotonic clock jumps.
    return {"LD_PRELOAD": library, "FAKETIME": shift, "FAKETIME_DONT_FAKE_MONOTONIC": "1", "FAKETIME_NO_CACHE": "1"}


class CommandClock(Fault):
    """A command ends in order and begins with a wrong clock; `heal` has it begin with the right one."""

    def __init__(self, scene: Scene, dice: Random, *, name: str) -> None:
        super().__init__(scene, dice)
        self._name, self._shift = name, dice.choice(_SHIFTS)
        self.target = f"{name} {self._shift}"

    def inject(self) -> None:
        """The clock jumps."""
        self.site.children[self._name].once_environment = _shifted(self._shift)
        self._start_again()

    def heal(self) -> None:
        """And back."""
        self._start_again()

    def _start_again(self) -> None:
        child = self.site.children[self._name]
        before = child.starts
        child.send(signal.SIGTERM)
        wait_until(lambda: child.starts > before, message=f"{self._name} is not started again")


class ServerClock(OwnServers):
    """The same of a server."""

    def __init__(self, scene: Scene, dice: Random, *, among: tuple[str, ...]) -> None:
        super().__init__(scene, dice, among=among)
        self._shift = dice.choice(_SHIFTS)
        self.target = f"{self.target} {self._shift}"

    def inject(self) -> None:
        """The clock jumps."""
        for name in self.names:
            self.stack.stop(name)
            self.stack.start(name, _shifted(self._shift))

    def heal(self) -> None:
        """And back."""
        for name in self.names:
            self.stack.stop(name)
            self.stack.start(name)


def _kind(room: str, make: Callable[[Scene, Random], Fault], *, own_stack: bool) -> Kind:
    return Kind(
        name=f"{room}.clock", make=make, holds=_HOLDS, own_stack=own_stack, from_heal=True,
        missing="" if _library() else "faketime is not installed",
    )  # fmt: skip


def _command(name: str) -> Kind:
    return _kind(name, lambda scene, dice: CommandClock(scene, dice, name=name), own_stack=False)


def _server(room: str, among: tuple[str, ...]) -> Kind:
    return _kind(room, lambda scene, dice: ServerClock(scene, dice, among=among), own_stack=True)


KINDS = (
    _command("supervisor"),
    _command("producer"),
    _command("refresher"),
    _server("broker", BROKERS),
    _server("postgres", (POSTGRES,)),
    _server("valkey", (VALKEY,)),
)
