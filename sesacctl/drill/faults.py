"""The faults of a drill: what each does, on what, and how it is undone."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import TYPE_CHECKING

from sesacctl.broker import raw_messages
from sesacctl.cache.client import CacheReader
from sesacctl.cache.connections import connect as connect_redis
from sesacctl.drill import instances, poison
from sesacctl.drill.children import Child
from sesacctl.drill.kinds import DrillKind
from sesacctl.drill.loop import Loop
from sesacctl.errors import CheckFailed
from sesacctl.events import ORDERS
from sesacctl.settings import Settings
from sesacctl.stack.control import BROKERS, POSTGRES, VALKEY, ServerControl

if TYPE_CHECKING:
    import psutil

POISONED = 200
FLOODED = 30_000
PREFIX = "drill-"
"""How ids of poisoned orders begin; it is also the header of all such messages."""
_AWAY_SECONDS = 5.0
_FROZEN_SECONDS = (
    25.0  # a supervisor kills an instance that is silent for 60 s; PostgreSQL ends its transaction at 20 s
)
_FLOOD_SECONDS = 120.0
_KILLED_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault may touch, and `dice` that the seed has thrown."""

    settings: Settings
    servers: ServerControl
    loop: Loop
    dice: Random


class Fault(ABC):
    """`said` is what is done, in words. It is held for `seconds` at most."""

    said = ""
    seconds = 0.0

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    @abstractmethod
    def inject(self) -> None:
        """Do harm."""

    def is_done(self) -> bool:
        """Whether there is nothing more to see before `heal`; asked while it is held."""
        return False

    def end(self) -> str:
        """What is done, or was seen, when it has been held for long enough; empty if it is over by itself."""
        return ""

    def heal(self) -> None:  # noqa: B027
        """Undo it; may be called twice. Most faults are over by themselves."""


class ServerKilled(Fault):
    """kill -9, and a start some seconds later."""

    seconds = _AWAY_SECONDS

    def __init__(self, scene: Scene, among: Sequence[str]) -> None:
        super().__init__(scene)
        self._name = scene.dice.choice(among)
        self.said = f"{self._name} is killed (SIGKILL)"

    def inject(self) -> None:
        """Kill it."""
        self.scene.servers.send(self._name, signal.SIGKILL)

    def end(self) -> str:
        """It was away for long enough."""
        return f"{self._name} is started"

    def heal(self) -> None:
        """Start it."""
        self.scene.servers.restore(self._name)


class InstancesFrozen(Fault):
    """Half of the instances stand still until the others have their partitions."""

    seconds = _FROZEN_SECONDS

    def __init__(self, scene: Scene, taken_over: Callable[[], bool]) -> None:
        """`taken_over`: whether no partition stands still any more.

        Raises:
            CheckFailed: there are fewer than two instances on this machine.
        """
        super().__init__(scene)
        running = [each for pid in scene.loop.supervisors() for each in instances.of_supervisor(pid)]
        if len(running) < 2:
            raise CheckFailed(
                "fewer than two instances of this group run below this SESAC_HOME: nobody could take over",
                hint="sesacctl consume --instances 4, then sesacctl drill instance",
            )
        self._running, self._taken_over = running, taken_over
        self._numbers = scene.dice.sample(range(len(running)), len(running) // 2)
        self._stopped: list[psutil.Process] = []
        pids = ", ".join(str(running[number].pid) for number in sorted(self._numbers))
        self.said = f"{len(self._numbers)} of {len(running)} instances are frozen (SIGSTOP), pids {pids}"

    def inject(self) -> None:
        """Stop them."""
        self._stopped = instances.send(self._running, self._numbers, signal.SIGSTOP)

    def is_done(self) -> bool:
        """Others have taken over."""
        return self._taken_over()

    def end(self) -> str:
        """The group has done what it could."""
        return "they are woken up (SIGCONT), with what they had read before"

    def heal(self) -> None:
        """Continue them."""
        instances.resume(self._stopped)


class SupervisorKilled(Fault):
    """kill -9; it is started again at once, as a service manager does."""

    seconds = _KILLED_SECONDS

    def __init__(self, scene: Scene, supervisor: Child) -> None:
        super().__init__(scene)
        self._supervisor, self._starts = supervisor, supervisor.starts
        self.said = f"the supervisor, pid {supervisor.pid}, is killed (SIGKILL)"

    def inject(self) -> None:
        """Kill it."""
        self._supervisor.send(signal.SIGKILL)

    def is_done(self) -> bool:
        """It was started again."""
        return self._supervisor.starts > self._starts

    def end(self) -> str:
        """Whether it was, in words."""
        return "it is started again" if self.is_done() else "it is not started again yet"


class Poisoned(Fault):
    """Messages that nobody should send, all at once."""

    said = f"{POISONED} messages that nobody should send come into the topic of orders"

    def inject(self) -> None:
        """Send them."""
        settings, dice = self.scene.settings, self.scene.dice
        redis = connect_redis(settings)
        try:
            reader = CacheReader(redis)
            users = [each["user_id"] for each in reader.users()]
            products = [each["product_id"] for each in reader.products()]
        finally:
            redis.close()
        messages = islice(poison.hostile(dice, users, products, prefix=PREFIX), POISONED)
        raw_messages.send(settings, settings.topic(ORDERS), messages, mark=PREFIX.rstrip("-"))


class Flooded(Fault):
    """Orders as fast as Kafka takes them."""

    said = f"{FLOODED:,} orders are sent as fast as Kafka takes them"
    seconds = _FLOOD_SECONDS
    _sender: Child | None = None

    def inject(self) -> None:
        """Begin."""
        self._sender = self.scene.loop.flood(FLOODED)

    def is_done(self) -> bool:
        """All are sent."""
        return self._sender is None or self._sender.pid is None

    def end(self) -> str:
        """Whether they are, in words."""
        if self.is_done():
            return "the last of them is sent"
        return f"not all are sent after {_FLOOD_SECONDS:.0f} s: that is enough"

    def heal(self) -> None:
        """Send no more."""
        if self._sender is not None:
            self._sender.end()


def make(kind: DrillKind, scene: Scene, *, all_move: Callable[[], bool]) -> Fault:
    """The fault of a kind; `all_move`: whether no partition stands still, after one did.

    Raises:
        CheckFailed: what it is to hit is not there.
    """
    if kind is DrillKind.INSTANCE:
        return InstancesFrozen(scene, all_move)
    if kind is DrillKind.SUPERVISOR:
        assert scene.loop.supervisor is not None, "refused before"
        return SupervisorKilled(scene, scene.loop.supervisor)
    if kind is DrillKind.POISON:
        return Poisoned(scene)
    if kind is DrillKind.FLOOD:
        return Flooded(scene)
    among = {DrillKind.BROKER: BROKERS, DrillKind.POSTGRES: (POSTGRES,), DrillKind.REDIS: (VALKEY,)}[kind]
    return ServerKilled(scene, among)
