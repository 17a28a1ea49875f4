"""How many events may still be stored, by all instances together: the supervisor alone keeps count.

An instance asks over its pipe. Nothing is shared, so that one that is killed leaves no lock behind, and what it was
granted is settled by PostgreSQL's counters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue

from sesacctl.database.connections import transaction
from sesacctl.events import Kind
from sesacctl.pipeline.sink import offsets
from sesacctl.pipeline.supervise.background import BackgroundPoll
from sesacctl.settings import Settings


@dataclass(frozen=True, slots=True)
class Take:
    """An instance's question: may it store up to `most` events?"""

    most: int


@dataclass(frozen=True, slots=True)
class InDoubt:
    """An instance's step failed, and what it was granted may be stored or not."""


class RemoteBudget:
    """An instance's `Budget`: asks the supervisor with `send`, and finds the answer in `granted`."""

    def __init__(self, send: Callable[[object], None], granted: SimpleQueue[int]) -> None:
        self._send = send
        self._granted = granted

    def take(self, most: int) -> int:
        """Reserve up to `most` events."""
        self._send(Take(most))
        return self._granted.get()

    def in_doubt(self) -> None:
        """Say that the last grant may be stored or not."""
        self._send(InDoubt())


class Allowance:
    """What is left of a maximum. A member has one grant at a time, which counts as used by its next message.

    A grant whose fate is not known, because its holder died or its COMMIT failed, is looked up in PostgreSQL when all
    other grants are settled; nothing is granted until then. Other supervisors of the group count, too, in that case.
    """

    def __init__(self, most: int, count: Callable[[], int]) -> None:
        """`count` returns how many events the group has stored; it is called once now, later in another thread."""
        self._most = most
        self._left = most
        self._before = count()
        self._counting = BackgroundPoll(count)
        self._granted: dict[int, int] = {}
        self._unsure = False

    def take(self, member: int, most: int) -> int:
        """Grant up to `most` events to a member."""
        self.confirmed(member)
        granted = 0 if self._unsure else min(most, self._left)
        self._left -= granted
        if granted:
            self._granted[member] = granted
        return granted

    def confirmed(self, member: int) -> None:
        """The member's grant is stored."""
        self._granted.pop(member, None)

    def in_doubt(self, member: int) -> None:
        """The member's grant is stored, or is not."""
        self._unsure |= self._granted.pop(member, 0) > 0

    def exhausted(self) -> bool:
        """Whether all is stored; call it in every pass of a loop. Errors as `BackgroundPoll.answer`."""
        if self._unsure and not self._granted and (count := self._counting.answer()) is not None:
            self._left = max(0, self._most - (count - self._before))
            self._unsure = False
        return not (self._unsure or self._granted or self._left)


def stored_events(settings: Settings, kinds: tuple[Kind, ...]) -> int:
    """Events of these kinds that the group has accounted for, by PostgreSQL's counters.

    Raises:
        ServerUnreachable: PostgreSQL cannot be reached.
        ServerRefused: PostgreSQL refused: wrong credentials or a missing right.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    with transaction(settings, command="consume-count") as cursor:
        return offsets.count_events(cursor, settings.kafka_group, [settings.topic(kind) for kind in kinds])
