"""An instance's place in the consumer group: joined, left for others, and joined again."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from kafka.errors import KafkaError

from sesacctl.broker import clients
from sesacctl.broker.groups import leave_group
from sesacctl.pipeline.consume.ownership import Ownership
from sesacctl.settings import Settings

log = logging.getLogger(__name__)

CLOSE_MS = 2_000
LEAVE_SECONDS = 5.0


class GroupMember:
    """A static member; `consumer` and `ownership` are None outside the group."""

    def __init__(self, settings: Settings, kinds: Mapping[str, str], *, member_id: str, accept_gap: bool) -> None:
        """`kinds` gives the kind of event for each topic name."""
        self._settings = settings
        self._kinds = dict(kinds)
        self._member_id = member_id
        self._accept_gap = accept_gap
        self.consumer: Any = None
        self.ownership: Ownership | None = None

    def join(self) -> None:
        """Become a member.

        Raises:
            ServerUnreachable, ServerRefused: there is no broker to talk to.
        """
        consumer = clients.consumer(self._settings, group_instance_id=self._member_id)
        consumer.subscribe(list(self._kinds))
        self.consumer, self.ownership = consumer, Ownership(consumer, self._kinds, accept_gap=self._accept_gap)

    def leave(self) -> None:
        """Have the partitions given to other members now: a static one that only closes keeps them for its session."""
        self.close()
        leave_group(self._settings, [self._member_id], seconds=LEAVE_SECONDS)

    def close(self) -> None:
        """Close the consumer, if there is one."""
        consumer, self.consumer, self.ownership = self.consumer, None, None
        if consumer is not None:
            try:
                consumer.close(autocommit=False, timeout_ms=CLOSE_MS)
            except (KafkaError, OSError, RuntimeError) as error:
                log.debug("closing the consumer: %s", error, extra={"action": "consume.close"})
