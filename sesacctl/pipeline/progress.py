"""How far PostgreSQL is behind Kafka, partition by partition: the figures of `lag`, `audit` and `health`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from psycopg2.extras import register_uuid

from sesacctl.broker.offsets import LogOffsets, log_offsets
from sesacctl.database.connections import connect, read_row, translated
from sesacctl.events import PARTITIONS
from sesacctl.pipeline.batch import Counts, Key
from sesacctl.settings import Settings

register_uuid()


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One partition: the log in Kafka, PostgreSQL's offsets and counters, and the group's offset in Kafka.

    `first` and `next` are None for a partition that no consumer of the group has taken up yet.
    """

    kind: str
    topic: str
    topic_id: UUID
    partition: int
    log_start: int
    log_end: int
    first: int | None
    next: int | None
    kafka_offset: int | None
    counts: Counts

    @property
    def lag(self) -> int:
        """Offsets in the log that PostgreSQL does not have yet."""
        return max(0, self.log_end - (self.log_start if self.next is None else self.next))

    @property
    def taken(self) -> int:
        """Offsets that PostgreSQL has moved over."""
        return 0 if self.next is None or self.first is None else self.next - self.first

    @property
    def cut(self) -> int:
        """Offsets that PostgreSQL has and the log no longer: it was truncated, and new records would get them again."""
        return 0 if self.next is None else max(0, self.next - self.log_end)

    @property
    def missing(self) -> int:
        """Offsets moved over that no counter accounts for: anything but 0 is a loss, or a bug."""
        return self.taken - self.counts.offsets


def progress(settings: Settings) -> list[Progress]:
    """Every partition of the three topics for the group of the settings. PostgreSQL is read first.

    Raises:
        ServerUnreachable, ServerRefused, TopicMissing, SchemaNotAtHead
    """
    stored = _stored(settings)
    return [_join(log, stored.get((log.topic_id, log.partition))) for log in log_offsets(settings)]


def next_offsets(settings: Settings) -> dict[Key, int]:
    """PostgreSQL's next offset of every partition that the group has taken up."""
    return {key: next_offset for key, (_, next_offset, _) in _stored(settings).items()}


def _stored(settings: Settings) -> dict[Key, tuple[int, int, Counts]]:
    connection = connect(settings, command="progress")
    try:
        with translated(settings), connection.cursor() as cursor:
            cursor.execute(
                "SELECT topic_id, partition, first_offset, next_offset, stored, duplicates, dead, parked, expired,"
                " control FROM sink_offsets WHERE consumer_group = %s",
                (settings.kafka_group,),
            )
            return {(row[0], row[1]): (row[2], row[3], Counts(*row[4:])) for row in cursor.fetchall()}
    finally:
        connection.close()


def _join(log: LogOffsets, stored: tuple[int, int, Counts] | None) -> Progress:
    first, following, counts = stored or (None, None, Counts())
    return Progress(
        kind=log.kind,
        topic=log.topic,
        topic_id=log.topic_id,
        partition=log.partition,
        log_start=log.start,
        log_end=log.end,
        first=first,
        next=following,
        kafka_offset=log.committed,
        counts=counts,
    )


class UntilEmpty:
    """True once PostgreSQL has reached the ends that the logs had when this was made, and tried what is parked."""

    def __init__(self, settings: Settings, kinds: tuple[str, ...] = tuple(PARTITIONS)) -> None:
        """Read the ends of the topics of these kinds; errors as `broker.offsets.log_offsets`."""
        self._settings = settings
        logs = [log for log in log_offsets(settings) if log.kind in kinds]
        self._ends = {(log.topic_id, log.partition): log.end for log in logs if log.end > log.start}
        self._partitions = tuple((log.topic, log.partition) for log in logs)
        self._reached_at: datetime | None = None

    def __call__(self) -> bool:
        """Look at PostgreSQL once more; errors as `next_offsets`."""
        if self._reached_at is None:
            reached = next_offsets(self._settings)
            if any(reached.get(key, -1) < end for key, end in self._ends.items()):
                return False
        return not self._untried()

    def _untried(self) -> bool:
        statement = (
            "SELECT clock_timestamp(), EXISTS (SELECT FROM parked_events"
            " WHERE consumer_group = %s AND (topic, partition) IN %s"
            " AND coalesce(tried_at, '-infinity') < coalesce(%s, 'infinity'::timestamptz))"
        )
        values = (self._settings.kafka_group, self._partitions, self._reached_at)
        now, untried = read_row(self._settings, statement, values, command="progress")
        self._reached_at = self._reached_at or now
        return bool(untried)
