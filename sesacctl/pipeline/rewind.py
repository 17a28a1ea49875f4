"""Moving a group's offsets in PostgreSQL, to consume again or to skip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from psycopg2.extras import execute_values

from sesacctl.broker.offsets import offsets_at
from sesacctl.database.connections import connect, translated
from sesacctl.errors import UsageError
from sesacctl.pipeline.progress import progress
from sesacctl.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One partition's move; `before` is None if the group has not taken it up yet."""

    topic: str
    topic_id: UUID
    partition: int
    before: int | None
    after: int


def plan(settings: Settings, kinds: Sequence[str], start: str) -> list[Move]:
    """Where `start` is in each partition: `earliest`, `latest`, an ISO 8601 time, or an offset, kept within the log.

    Raises:
        UsageError: it is none of these; ServerUnreachable, ServerRefused, TopicMissing, SchemaNotAtHead
    """
    partitions = [part for part in progress(settings) if part.kind in kinds]
    if start == "earliest":
        targets = [part.log_start for part in partitions]
    elif start == "latest":
        targets = [part.log_end for part in partitions]
    elif start.isdecimal():
        targets = [min(max(int(start), part.log_start), part.log_end) for part in partitions]
    else:
        found = offsets_at(settings, [(part.topic, part.partition) for part in partitions], _time(start))
        targets = [found.get((part.topic, part.partition), part.log_end) for part in partitions]
    return [
        Move(topic=part.topic, topic_id=part.topic_id, partition=part.partition, before=part.next, after=target)
        for part, target in zip(partitions, targets, strict=True)
        if part.next != target
    ]


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(
            f"'{text}' is not earliest, latest, an offset or a time such as 2026-11-22T20:00",
            hint="sesacctl consume --help",
        ) from None
    # Kafka takes -1 ms for the latest offset, -2 ms for the earliest.
    return max(at if at.tzinfo else at.replace(tzinfo=UTC), datetime.fromtimestamp(0, UTC))


def move(settings: Settings, moves: Sequence[Move]) -> None:
    """Carry a plan out in one transaction. The counters begin anew, so that an audit holds from there on.

    Consumers that run notice within five seconds and go on from there.

    Raises:
        ServerUnreachable, ServerRefused, SchemaNotAtHead: nothing was moved.
    """
    connection = connect(settings, command="consume-from")
    try:
        with translated(settings), connection, connection.cursor() as cursor:
            execute_values(
                cursor,
                "INSERT INTO sink_offsets (consumer_group, topic, topic_id, partition, first_offset, next_offset,"
                " epoch_offset) VALUES %s ON CONFLICT (consumer_group, topic_id, partition) DO UPDATE SET"
                " first_offset = EXCLUDED.first_offset, next_offset = EXCLUDED.next_offset,"
                " epoch_offset = EXCLUDED.epoch_offset, stored = 0,"
                " duplicates = 0, dead = 0, parked = 0, expired = 0, control = 0, updated_at = now()",
                [
                    (settings.kafka_group, found.topic, found.topic_id, found.partition, *[found.after] * 3)
                    for found in sorted(moves, key=lambda found: (found.topic_id, found.partition))
                ],
            )
    finally:
        connection.close()
