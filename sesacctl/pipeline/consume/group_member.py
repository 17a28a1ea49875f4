"""An instance's place in the consumer group: joined, left for others, and joined again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import NamedTuple

from kafka.errors import KafkaError

from sesacctl.broker import clients
from sesacctl.broker.consumer_like import ConsumerLike
from sesacctl.broker.groups import leave_group
from sesacctl.events import Kind
from sesacctl.pipeline.consume.assignment import Assignment
from sesacctl.pipeline.consume.log_gaps import LogGuard
from sesacctl.pipeline.consume.reader import Reader
from sesacctl.settings import Settings

logger = logging.getLogger(__name__)

CLOSE_MS = 2_000
LEAVE_SECONDS = 5.0


class Place(NamedTuple):
    """What reads for a member of the group, and what it owns."""

    reader: Reader
    assignment: Assignment


class GroupMember:
    """A static member; its place is there while it has `joined`."""

    def __init__(self, settings: Settings, kind_of: Mapping[str, Kind], *, member_id: str, accept_gap: bool) -> None:
        """`kind_of` has the kind of event for each topic name."""
        self._settings = settings
        self._kind_of = kind_of
        self._member_id = member_id
        self._accept_gap = accept_gap
        self._place: Place | None = None

    @property
    def joined(self) -> bool:
        """Whether this is in the group."""
        return self._place is not None

    @property
    def place(self) -> Place:
        """Its place; only while it has joined."""
        assert self._place is not None, "not in the group"
        return self._place

    def join(self) -> None:
        """Become a member.

        Raises:
            ServerUnreachable: there is no broker to talk to.
            ServerRefused: a broker refuses us.
            ConfigurationError: settings do not fit each other.
        """
        consumer: ConsumerLike = clients.consumer(self._settings, group_instance_id=self._member_id)
        consumer.subscribe(list(self._kind_of))
        reader = Reader(consumer, list(self._kind_of))
        self._place = Place(reader, Assignment(self._kind_of, LogGuard(reader, accept_gap=self._accept_gap)))

    def leave(self) -> None:
        """Have the partitions given to other members now: a static one that only closes keeps them for its session."""
        self.close()
        leave_group(self._settings, [self._member_id], seconds=LEAVE_SECONDS)

    def close(self) -> None:
        """Close the consumer, if there is one."""
        place, self._place = self._place, None
        if place is not None:
            try:
                place.reader.close(timeout_ms=CLOSE_MS)
            except (KafkaError, OSError, RuntimeError) as error:
                logger.debug("closing the consumer: %s", error, extra={"action": "consume.close"})
