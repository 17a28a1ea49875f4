"""The ids of dead letters, for completion in a shell: without keys and values, and within a second."""

from __future__ import annotations

from dataclasses import dataclass

from sesacctl.database.connections import transaction
from sesacctl.settings import Settings


@dataclass(frozen=True, slots=True)
class LetterId:
    """A dead letter's id, where it came from, and why it was refused."""

    id: int
    topic: str
    partition: int
    offset: int
    reason: str


def newest(settings: Settings, beginning: str, *, limit: int, seconds: float) -> list[LetterId]:
    """The group's newest dead letters whose ids begin so; `seconds` bounds each wait for an answer.

    Raises:
        ServerUnreachable: PostgreSQL cannot be reached.
        ServerRefused: PostgreSQL refused: wrong credentials or a missing right.
        DatabaseMissing: the server has no such database.
        SchemaNotAtHead: there is no such table.
    """
    with transaction(settings, command="completion", bound=seconds) as cursor:
        cursor.execute(
            'SELECT id, topic, partition, "offset", reason FROM dead_letters'
            " WHERE consumer_group = %s AND discarded_at IS NULL AND starts_with(id::text, %s)"
            " ORDER BY id DESC LIMIT %s",
            (settings.kafka_group, beginning, limit),
        )
        return [LetterId(*row) for row in cursor]
