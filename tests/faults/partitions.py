"""Partitions between hosts, whole and in one direction."""

from __future__ import annotations

from random import Random

from tests.faults.fault import Fault, Kind, Scene
from tests.faults.hosts import COUNT, FROM, TO

_HOLDS = (3.0, 8.0, 20.0)


class Partition(Fault):
    """A host loses packets, of everybody or of one other; `chains` are the directions."""

    def __init__(self, scene: Scene, dice: Random, *, chains: tuple[str, ...], other: str) -> None:
        super().__init__(scene, dice)
        hosts = scene.site.hosts
        assert hosts is not None, "these servers are all on one host"
        self._hosts, self._chains = hosts, chains
        self._number, second = dice.sample(range(COUNT), 2)
        self._other = {"everybody": None, "another": hosts.addresses[second], "the servers": hosts.server}[other]
        named = {None: other, hosts.server: other}.get(self._other, f"host {second + 1}")
        self.target = f"host {self._number + 1}, {named}"

    def inject(self) -> None:
        """Cut."""
        for chain in self._chains:
            self._hosts.drop(self._number, chain, self._other)

    def heal(self) -> None:
        """Mend."""
        self._hosts.heal()


def _kind(verb: str, chains: tuple[str, ...], other: str) -> Kind:
    return Kind(
        name=f"host.{verb}", make=lambda scene, dice: Partition(scene, dice, chains=chains, other=other), holds=_HOLDS,
        own_stack=True, from_heal=True, on_hosts=True,
    )  # fmt: skip


KINDS = (
    _kind("cut-off", (TO, FROM), "everybody"),
    _kind("mute", (TO,), "everybody"),
    _kind("deaf", (FROM,), "everybody"),
    _kind("split", (TO, FROM), "another"),
    _kind("split-one-way", (TO,), "another"),
    _kind("no-servers", (TO, FROM), "the servers"),
    _kind("no-answers", (FROM,), "the servers"),
)
