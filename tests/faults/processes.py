"""Faults of the loop's own processes: signals to the instances, supervisor, producer and cache worker."""

from __future__ import annotations

import signal
from contextlib import suppress
from random import Random

import psutil

from sesacctl.drill import instances
from tests.faults.fault import Fault, Kind, Scene
from tests.helpers.waiting import wait_until

_STOPS = (1.0, 3.0, 12.0)  # the longest is longer than a member's session


class ChildSignal(Fault):
    """A signal to one of the commands; where it ends by that, this returns when `Keeper` has started it again."""

    def __init__(self, scene: Scene, dice: Random, *, name: str, how: signal.Signals) -> None:
        super().__init__(scene, dice)
        self.target, self._how = name, how

    def inject(self) -> None:
        """Send it: rows that the old process stores at its end are no recovery."""
        child = self.site.children[self.target]
        before = child.starts
        child.send(self._how)
        if self._how is not signal.SIGSTOP:
            wait_until(lambda: child.starts > before, message=f"{self.target} is not started again")

    def heal(self) -> None:
        """Continue what was stopped."""
        if self._how is signal.SIGSTOP:
            self.site.children[self.target].send(signal.SIGCONT)


class InstanceSignal(Fault):
    """A signal to some of the instances at once."""

    def __init__(self, scene: Scene, dice: Random, *, how: signal.Signals, count: int = 1) -> None:
        super().__init__(scene, dice)
        self._how = how
        self._numbers = dice.sample(range(scene.site.load.instances), min(count, scene.site.load.instances))
        self.target = ", ".join(f"instance {number}" for number in sorted(self._numbers))
        self._stopped: list[psutil.Process] = []

    def inject(self) -> None:
        """Send it to those that run."""
        pid = self.site.children["supervisor"].pid
        self._stopped = instances.send(instances.of_supervisor(pid) if pid else [], self._numbers, self._how)

    def heal(self) -> None:
        """Continue what was stopped."""
        if self._how is signal.SIGSTOP:
            instances.resume(self._stopped)


class ForkServerKill(Fault):
    """The process that instances are forked from is killed."""

    target = "fork server"

    def inject(self) -> None:
        """Kill it."""
        pid = self.site.children["supervisor"].pid
        with suppress(psutil.Error):
            if pid and (server := instances.fork_server(pid)) is not None:
                server.kill()


def _child(name: str, verb: str, how: signal.Signals) -> Kind:
    stops = how is signal.SIGSTOP
    return Kind(
        name=f"{name}.{verb}",
        make=lambda scene, dice: ChildSignal(scene, dice, name=name, how=how),
        holds=_STOPS[:2] if stops else (0.0,),
        from_heal=stops,
    )


def _instances(verb: str, how: signal.Signals, count: int = 1, holds: tuple[float, ...] = (0.0,)) -> Kind:
    return Kind(
        name=f"instance.{verb}",
        make=lambda scene, dice: InstanceSignal(scene, dice, how=how, count=count),
        holds=holds,
        from_heal=how is signal.SIGSTOP,
    )


_VERBS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "term": signal.SIGTERM, "hup": signal.SIGHUP}
KINDS = (
    *(_child(name, *verb) for name in ("supervisor", "producer", "refresher") for verb in _VERBS.items()),
    _instances("kill", signal.SIGKILL),
    _instances("kill-half", signal.SIGKILL, count=4),
    _instances("stop", signal.SIGSTOP, holds=_STOPS),
    _instances("stop-half", signal.SIGSTOP, count=4, holds=_STOPS),
    _instances("term", signal.SIGTERM),
    _instances("hup", signal.SIGHUP),
    Kind(name="instance.fork-server", make=ForkServerKill),
)
