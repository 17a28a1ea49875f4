"""When what is in Kafka now is in PostgreSQL: the end of `consume --until-empty`."""

from __future__ import annotations

import time
from datetime import datetime

from sesacctl.database.connections import read_row
from sesacctl.errors import HeldBack
from sesacctl.events import PARTITIONS, Kind
from sesacctl.pipeline.audit.log_identity import require_same_logs
from sesacctl.pipeline.audit.partitions import held_back, next_offsets, read_partitions
from sesacctl.pipeline.sink.counts import PartitionKey
from sesacctl.settings import Settings

HELD_SECONDS = 75.0
"""Longer than brokers leave a silent producer's transaction open by default (transaction.timeout.ms: 60 s)."""


class UntilEmpty:
    """True once PostgreSQL has reached the ends that the logs had when this was made, and tried what is parked."""

    def __init__(self, settings: Settings, kinds: tuple[Kind, ...] = tuple(PARTITIONS)) -> None:
        """Read the ends of the topics of these kinds.

        Raises:
            LogCut: an offset says nothing where the log is not the one that was stored.
            ServerUnreachable: a server cannot be reached.
            ServerRefused: a server refused: wrong credentials or a missing right.
            TopicMissing: one of the topics does not exist.
            SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
        """
        self._settings = settings
        logs = [part for part in read_partitions(settings) if part.kind in kinds]
        require_same_logs(settings, logs)
        # A log whose records have all expired is empty, too, but not what the group has stored of it.
        stored = {part.key: part.log_start if part.next is None else part.next for part in logs}
        self._ends = {part.key: part.log_end for part in logs if part.log_end > stored[part.key]}
        self._partitions = tuple((part.topic, part.partition) for part in logs)
        self._reached_at: datetime | None = None
        self._offsets: dict[PartitionKey, int] = {}
        self._moved_at = time.monotonic()

    def __call__(self) -> bool:
        """Check PostgreSQL once more.

        Raises:
            HeldBack: what is left has waited for a transaction's end for `HELD_SECONDS`.
            ServerUnreachable: a server cannot be reached.
            ServerRefused: a server refused: wrong credentials or a missing right.
            SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
        """
        if self._reached_at is None:
            reached = next_offsets(self._settings)
            if any(reached.get(key, -1) < end for key, end in self._ends.items()):
                self._require_progress(reached)
                return False
        return not self._untried()

    def _require_progress(self, reached: dict[PartitionKey, int]) -> None:
        if reached != self._offsets:
            self._offsets, self._moved_at = reached, time.monotonic()
        if time.monotonic() - self._moved_at < HELD_SECONDS:
            return
        self._moved_at = time.monotonic()  # asked again only after that time
        left = [part for part in read_partitions(self._settings) if (part.next or 0) < self._ends.get(part.key, 0)]
        if left and all(part.held and (part.next or 0) >= part.log_stable_end for part in left):
            raise HeldBack("; ".join(each.sentence for each in held_back(self._settings, left)) or None)

    def _untried(self) -> bool:
        statement = (
            "SELECT clock_timestamp(), EXISTS (SELECT FROM parked_events"
            " WHERE consumer_group = %s AND (topic, partition) IN %s"
            " AND (coalesce(tried_at, '-infinity') < coalesce(%s, 'infinity'::timestamptz)"
            " OR tried_at > clock_timestamp()))"  # by a clock that was set back since
        )
        values = (self._settings.kafka_group, self._partitions, self._reached_at)
        now, untried = read_row(self._settings, statement, values, command="progress")
        self._reached_at = self._reached_at or now
        return bool(untried)
