"""The audit that takes nobody's word for it: reads the topics again and looks every event up in PostgreSQL."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition
from kafka.errors import OffsetOutOfRangeError

from sesacctl.broker import clients
from sesacctl.database.connections import connect, translated
from sesacctl.events import CODECS, Malformed
from sesacctl.pipeline.progress import Progress
from sesacctl.settings import Settings

log = logging.getLogger(__name__)

MOST_NAMED = 100
_POLL_MS = 1_000
_QUIET_POLLS = 30  # half a minute without a record: the broker is away


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingEvent:
    """An event that PostgreSQL moved over and has in no table; `id` is None if it cannot be decoded."""

    position: str
    id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepAudit:
    """Every record below PostgreSQL's offsets, read again; `expired` ones are gone from the log's start.

    `missing` counts all, `named` has the first hundred. `cut` offsets are beyond the log's end: it was truncated.
    """

    read: int
    found: int
    kept: int
    expired: int
    cut: int
    missing: int
    named: list[MissingEvent]


def deep_audit(settings: Settings, partitions: Sequence[Progress]) -> DeepAudit:
    """Look for each record in its table, or among the dead letters and parked events of the group.

    Raises:
        ServerUnreachable, ServerRefused, SchemaNotAtHead
    """
    wanted = [part for part in partitions if part.taken]
    log = _Log(settings, wanted)
    read = found = kept = 0
    named: list[MissingEvent] = []
    missing = 0
    connection = connect(settings, command="audit", bound=600)
    try:
        with translated(settings), connection.cursor() as cursor:
            for part, records in log.chunks():
                ids = {record.offset: _id(part.kind, record) for record in records}
                # In this order: running consumers move events from there into the tables, and never back.
                refused = _kept(cursor, settings.kafka_group, part, list(ids))
                rest = {offset: name for offset, name in ids.items() if offset not in refused}
                there = times_stored(cursor, part.kind, [name for name in rest.values() if name is not None])
                lost = [offset for offset, name in rest.items() if name is None or name not in there]
                read += len(records)
                found += len(rest) - len(lost)
                kept += len(refused)
                missing += len(lost)
                named += [
                    MissingEvent(position=f"{part.topic}-{part.partition}@{offset}", id=ids[offset]) for offset in lost
                ][: MOST_NAMED - len(named)]
    finally:
        connection.close()
    return DeepAudit(
        read=read,
        found=found,
        kept=kept,
        expired=log.expired,
        cut=sum(part.cut for part in wanted),
        missing=missing,
        named=named,
    )


class _Log:
    """The records between each partition's first and next offset, as far as they are still in the log."""

    def __init__(self, settings: Settings, partitions: Sequence[Progress]) -> None:
        self._settings = settings
        self._parts = {TopicPartition(part.topic, part.partition): part for part in partitions}
        self._ends = {tp: min(part.next or 0, part.log_end) for tp, part in self._parts.items()}
        self.expired = 0

    def chunks(self) -> Iterator[tuple[Progress, list[Any]]]:
        """Some records of one partition at a time; errors as `deep_audit`."""
        left = {tp for tp, part in self._parts.items() if (part.first or 0) < self._ends[tp]}
        if not left:
            return
        consumer = clients.consumer(self._settings, group_instance_id=None)
        try:
            consumer.assign(list(left))
            for tp in left:
                consumer.seek(tp, self._parts[tp].first or 0)
            quiet = 0
            while left:
                polled = self._poll(consumer)
                quiet = 0 if polled else quiet + 1
                if quiet > _QUIET_POLLS:
                    raise clients.unreachable(self._settings, TimeoutError())
                for tp, records in polled.items():
                    yield self._parts[tp], [record for record in records if record.offset < self._ends[tp]]
                done = {tp for tp in left if (clients.position(consumer, tp) or 0) >= self._ends[tp]}
                left -= done
                if done:
                    consumer.pause(*done)
        finally:
            consumer.close(autocommit=False)

    def _poll(self, consumer: Any) -> dict[TopicPartition, list[Any]]:
        with clients.translated(self._settings):
            try:
                polled: dict[TopicPartition, list[Any]] = consumer.poll(timeout_ms=_POLL_MS)
            except OffsetOutOfRangeError as error:  # they expired, before or meanwhile
                gone = error.args[0]
                for tp, start in consumer.beginning_offsets(list(gone)).items():
                    self.expired += min(start, self._ends[tp]) - gone[tp]
                    consumer.seek(tp, start)
                return {}
            return polled


def _id(kind: str, record: Any) -> str | None:
    codec = CODECS[kind]
    try:
        row, _ = codec.decode(record.key, record.value, record.timestamp)
    except Malformed:
        return None
    return str(getattr(row, codec.columns[0]))


def times_stored(cursor: Any, kind: str, ids: Sequence[str]) -> dict[str, int]:
    """How often each id is in its table; those that are not are left out."""
    key = CODECS[kind].columns[0]
    cursor.execute(f"SELECT {key}, count(*) FROM {kind} WHERE {key} = ANY(%s) GROUP BY 1", (list(ids),))
    return dict(cursor.fetchall())


def _kept(cursor: Any, group: str, part: Progress, offsets: Sequence[int]) -> set[int]:
    position = 'consumer_group = %s AND topic_id = %s AND partition = %s AND "offset" = ANY(%s)'
    values = (group, part.topic_id, part.partition, list(offsets))
    cursor.execute(
        f'SELECT "offset" FROM dead_letters WHERE {position} UNION SELECT "offset" FROM parked_events WHERE {position}',
        (*values, *values),
    )
    return {row[0] for row in cursor.fetchall()}
