"""What a fault is, and the names of all kinds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.faults.sampler import Sampler
from tests.faults.site import Site


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault may touch."""

    site: Site
    sampler: Sampler


class Fault(ABC):
    """One fault: `target` says what it hits, chosen from the dice alone, so that a seed chooses the same again."""

    target = ""

    def __init__(self, scene: Scene, dice: Random) -> None:
        self.scene, self.site, self.dice = scene, scene.site, dice

    @abstractmethod
    def inject(self) -> None:
        """Do harm."""

    def heal(self) -> None:  # noqa: B027
        """Undo it; most faults are over by themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A kind of fault. `name` begins with the room of what it hits; faults of one room are not combined.

    `holds` are the seconds between `inject` and `heal` to choose from, `own_stack`: other users of the servers would
    suffer, `repeats`: orders come twice, `from_heal`: recovery is measured from `heal` on, `alone`: no other fault may
    be there at the same time, `on_hosts`: it needs a site on several hosts, `missing`: why it cannot be had on this
    machine.
    """

    name: str
    make: Callable[[Scene, Random], Fault]
    holds: tuple[float, ...] = (0.0,)
    own_stack: bool = False
    repeats: bool = False
    from_heal: bool = False
    alone: bool = False
    on_hosts: bool = False
    missing: str = ""

    @property
    def room(self) -> str:
        """What it hits."""
        return self.name.partition(".")[0]
