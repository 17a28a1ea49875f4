"""Disks that are full for some seconds: of PostgreSQL's write-ahead log, of a broker, of the producer's ledger."""

from __future__ import annotations

from random import Random

from sesacctl.stack.control import BROKERS, POSTGRES
from tests.faults import tmpfs
from tests.faults.fault import Fault, Kind, Scene
from tests.faults.servers import OwnServers

_HOLDS = (2.0, 6.0)


class ServerDisk(OwnServers):
    """A server's disk is full: it ends, or refuses; it is started again when there is room."""

    def inject(self) -> None:
        """Fill it."""
        for name in self.names:
            self.stack.disks[name].fill()

    def heal(self) -> None:
        """Free it; a server that is about to end is waited for."""
        for name in self.names:
            self.stack.disks[name].free()
            self.stack.start_if_it_fails(name)


class LedgerDisk(Fault):
    """The ledger's disk is full: the producer may not send what it cannot write down."""

    target = "ledger"

    def inject(self) -> None:
        """Fill it."""
        assert self.site.disk is not None
        self.site.children["producer"].may_end = True
        self.site.disk.fill()

    def heal(self) -> None:
        """Free it."""
        assert self.site.disk is not None
        self.site.disk.free()
        self.site.children["producer"].recover()


def _server(room: str, among: tuple[str, ...]) -> Kind:
    def make(scene: Scene, dice: Random) -> Fault:
        return ServerDisk(scene, dice, among=among)

    return Kind(
        name=f"{room}.disk-full", make=make, holds=_HOLDS, own_stack=True, from_heal=True, missing=tmpfs.why_not()
    )


KINDS = (
    _server("postgres", (POSTGRES,)),
    _server("broker", BROKERS),
    Kind(
        name="producer.disk-full", make=LedgerDisk, holds=_HOLDS, own_stack=True, from_heal=True,
        missing=tmpfs.why_not(),
    ),
)  # fmt: skip
