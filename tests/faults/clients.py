"""What other applications and operators do beside the loop: transactions, rebalances, repairs."""

from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import Any
from uuid import uuid4

import confluent_kafka

from sesacctl.drill import poison
from tests.faults import foreign
from tests.faults.evidence import MARK
from tests.faults.fault import Fault, Kind, Scene
from tests.faults.site import ORDERS

_SECONDS = 30.0
_OPEN_MS = 20_000


class Transaction(Fault):
    """Another producer's transaction over all partitions; `how` is what becomes of it."""

    def __init__(self, scene: Scene, dice: Random, *, how: str) -> None:
        super().__init__(scene, dice)
        self.target = self._how = how
        self._producer: Any = None

    def inject(self) -> None:
        """Begin it, and write; brokers that are away meanwhile are somebody else's fault."""
        users, products = foreign.parents(self.site)
        with suppress(confluent_kafka.KafkaException):
            self._producer = foreign.producer(
                self.site, **{"transactional.id": f"storm-{uuid4()}", "transaction.timeout.ms": _OPEN_MS}
            )
            self._producer.init_transactions(_SECONDS)
            self._producer.begin_transaction()
            for _ in range(self.dice.randint(1, 200)):
                key, value = poison.message(foreign.order(self.dice, users, products))
                self._producer.produce(self.site.topic(ORDERS), value, key, headers=[(MARK, b"")])
            self._producer.flush(_SECONDS)
            if self._how == "committed":
                self._producer.commit_transaction(_SECONDS)
            elif self._how == "aborted":
                self._producer.abort_transaction(_SECONDS)

    def heal(self) -> None:
        """End one that hangs: by its producer, or by the brokers' own time-out if it cannot be."""
        if self._how == "hanging" and self._producer is not None:
            with suppress(confluent_kafka.KafkaException):
                self._producer.abort_transaction(_SECONDS)
        self._producer = None


class HostileBurst(Fault):
    """Many hostile messages at once, beside those that come all the time."""

    target = "orders"

    def inject(self) -> None:
        """Send them."""
        sender = foreign.Hostile(self.site, self.dice.randrange(2**32))
        sender.send(self.dice.randint(50, 300))
        sender.flush()


class Rebalance(Fault):
    """A second supervisor joins, and leaves in order."""

    target = "second"

    def inject(self) -> None:
        """Start it."""
        self.site.keeper.add(self.site.children["second"])

    def heal(self) -> None:
        """End it."""
        self.site.children["second"].end()


class Replay(Fault):
    """An operator replays all dead letters while consumers run."""

    target = "dead letters"

    def inject(self) -> None:
        """Replay; it may fail as its servers do."""
        self.site.command("dlq", "replay", "--all")


class FromEarliest(Fault):
    """All consumers end, and begin at the start of the topics again."""

    target = "offsets"

    def inject(self) -> None:
        """Have the next start reset the offsets."""
        supervisor = self.site.children["supervisor"]
        self.site.children["second"].end()
        supervisor.once = ("--from", "earliest", "--yes")
        supervisor.end()
        supervisor.wanted = True


def _transaction(how: str, holds: tuple[float, ...] = (0.0,)) -> Kind:
    return Kind(
        name=f"client.{how}",
        make=lambda scene, dice: Transaction(scene, dice, how=how),
        holds=holds,
        from_heal=how == "hanging",
    )


KINDS = (
    _transaction("committed"),
    _transaction("aborted"),
    _transaction("hanging", (2.0, 6.0)),
    Kind(name="client.hostile", make=HostileBurst, repeats=True),
    Kind(name="supervisor.second", make=Rebalance, holds=(4.0, 8.0)),
    Kind(name="client.replay", make=Replay),
    Kind(name="supervisor.from-earliest", make=FromEarliest, repeats=True),
)
