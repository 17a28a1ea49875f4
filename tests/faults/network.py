"""Faults of the network between the loop and its servers, made by the proxies."""

from __future__ import annotations

from random import Random

from sesacctl.stack.control import BROKERS, POSTGRES, VALKEY
from tests.faults.fault import Fault, Kind, Scene
from tests.helpers.proxy import DOWN, UP, Proxy

_SHORT, _LONG = (1.0, 3.0), (1.0, 4.0, 12.0)
_LATENCIES = (0.05, 0.2)
_RATES = (5_000, 50_000)  # bytes per second


class Network(Fault):
    """Something happens to the connections of one server, and is over with `heal`."""

    def __init__(self, scene: Scene, dice: Random, *, among: tuple[str, ...]) -> None:
        super().__init__(scene, dice)
        self.target = dice.choice(among)
        self.proxy: Proxy = scene.site.proxies[self.target]

    def heal(self) -> None:
        """Nothing strange any more."""
        self.proxy.heal()


class Cut(Network):
    """All connections are cut at once; new ones are taken."""

    def inject(self) -> None:
        """Cut."""
        self.proxy.cut()


class Refused(Network):
    """All connections are cut, and new ones end at once."""

    def inject(self) -> None:
        """Cut, and take nobody."""
        self.proxy.refuses = True
        self.proxy.cut()


class Silent(Network):
    """Nothing comes through, and nobody is told: what was sent arrives in the end."""

    def inject(self) -> None:
        """Hold both directions."""
        self.proxy.hold(UP, DOWN)


class OneWay(Network):
    """Questions arrive and answers do not, or the other way about."""

    def __init__(self, scene: Scene, dice: Random, *, among: tuple[str, ...]) -> None:
        super().__init__(scene, dice, among=among)
        self._direction = dice.choice((UP, DOWN))
        self.target = f"{self.target}, {'to' if self._direction == UP else 'from'} the server"

    def inject(self) -> None:
        """Hold one direction."""
        self.proxy.hold(self._direction)


class HalfClosed(Network):
    """One direction of every connection ends."""

    def inject(self) -> None:
        """End it."""
        self.proxy.half_close(self.dice.choice((UP, DOWN)))


class Slow(Network):
    """Everything takes longer."""

    def inject(self) -> None:
        """Delay each piece."""
        self.proxy.latency_seconds = self.dice.choice(_LATENCIES)


class Trickle(Network):
    """A few bytes at a time."""

    def inject(self) -> None:
        """Bound the bytes per second of each connection."""
        self.proxy.bytes_per_second = self.dice.choice(_RATES)


class CommitsLost(Network):
    """PostgreSQL commits, and its answer is lost: the client cannot know."""

    def inject(self) -> None:
        """Lose the next answers."""
        self.proxy.commits_to_lose = self.dice.choice((1, 5, 20))


def _kinds(server: str, among: tuple[str, ...], *, own_stack: bool) -> tuple[Kind, ...]:
    def kind(verb: str, fault: type[Network], holds: tuple[float, ...], *, from_heal: bool = True) -> Kind:
        return Kind(
            name=f"{server}.{verb}",
            make=lambda scene, dice: fault(scene, dice, among=among),
            holds=holds,
            own_stack=own_stack,
            from_heal=from_heal,
        )

    return (
        kind("cut", Cut, (0.0,), from_heal=False),
        kind("refused", Refused, _SHORT),
        kind("silent", Silent, _LONG),
        kind("one-way", OneWay, _LONG),
        kind("half-closed", HalfClosed, (0.0,), from_heal=False),
        kind("slow", Slow, _SHORT),
        kind("trickle", Trickle, _SHORT),
    )


KINDS = (
    *_kinds("net-postgres", (POSTGRES,), own_stack=False),
    *_kinds("net-valkey", (VALKEY,), own_stack=False),
    *_kinds("net-broker", BROKERS, own_stack=True),
    Kind(
        name="net-postgres.commit-lost",
        make=lambda scene, dice: CommitsLost(scene, dice, among=(POSTGRES,)),
        holds=(2.0,),
    ),
)
