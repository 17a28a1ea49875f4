"""The audit that takes nobody's word for it: reads the topics again and looks every event up in PostgreSQL."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition

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
    """Every record below PostgreSQL's offsets, read again; `expired` ones are gone from the log.

    `missing` counts all, `named` has the first hundred.
    """

    read: int
    found: int
    kept: int
    expired: int
    missing: int
    named: list[MissingEvent]


def deep_audit(settings: Settings, partitions: Sequence[Progress]) -> DeepAudit:
    """Look for each record in its table, or among the dead letters and parked events of the group.

    Raises:
        ServerUnreachable, ServerRefused, SchemaNotAtHead
    """
    wanted = [part for part in partitions if part.taken]
    read = found = kept = 0
    named: list[MissingEvent] = []
    missing = 0
    connection = connect(settings, command="audit", bound=600)
    try:
        with translated(settings), connection.cursor() as cursor:
            for part, records in _chunks(settings, wanted):
                ids = {record.offset: _id(part.kind, record) for record in records}
                there = _in_table(cursor, part.kind, [name for name in ids.values() if name is not None])
                rest = [offset for offset, name in ids.items() if name is None or name not in there]
                refused = _kept(cursor, settings.kafka_group, part, rest) if rest else set()
                lost = [offset for offset in rest if offset not in refused]
                read += len(records)
                found += len(records) - len(rest)
                kept += len(refused)
                missing += len(lost)
                named += [
                    MissingEvent(position=f"{part.topic}-{part.partition}@{offset}", id=ids[offset]) for offset in lost
                ][: MOST_NAMED - len(named)]
    finally:
        connection.close()
    expired = sum(max(0, min(part.log_start, part.next or 0) - (part.first or 0)) for part in wanted)
    return DeepAudit(read=read, found=found, kept=kept, expired=expired, missing=missing, named=named)


def _chunks(settings: Settings, partitions: Sequence[Progress]) -> Iterator[tuple[Progress, list[Any]]]:
    """The records between each partition's first and next offset."""
    parts = {TopicPartition(part.topic, part.partition): part for part in partitions}
    starts = {tp: max(part.first or 0, part.log_start) for tp, part in parts.items()}
    left = {tp for tp, part in parts.items() if starts[tp] < (part.next or 0)}
    if not left:
        return
    consumer = clients.consumer(settings, group_instance_id=None)
    try:
        consumer.assign(list(left))
        for tp in left:
            consumer.seek(tp, starts[tp])
        quiet = 0
        while left:
            with clients.translated(settings):
                polled = consumer.poll(timeout_ms=_POLL_MS)
            quiet = 0 if polled else quiet + 1
            if quiet > _QUIET_POLLS:
                raise clients.unreachable(settings, TimeoutError())
            for tp, records in polled.items():
                end = parts[tp].next or 0
                yield parts[tp], [record for record in records if record.offset < end]
            done = {tp for tp in left if (clients.position(consumer, tp) or 0) >= (parts[tp].next or 0)}
            left -= done
            if done:
                consumer.pause(*done)
    finally:
        consumer.close(autocommit=False)


def _id(kind: str, record: Any) -> str | None:
    codec = CODECS[kind]
    try:
        row, _ = codec.decode(record.key, record.value, record.timestamp)
    except Malformed:
        return None
    return str(getattr(row, codec.columns[0]))


def _in_table(cursor: Any, kind: str, ids: Sequence[str]) -> set[str]:
    key = CODECS[kind].columns[0]
    cursor.execute(f"SELECT {key} FROM {kind} WHERE {key} = ANY(%s)", (list(ids),))
    return {row[0] for row in cursor.fetchall()}


def _kept(cursor: Any, group: str, part: Progress, offsets: Sequence[int]) -> set[int]:
    position = 'consumer_group = %s AND topic_id = %s AND partition = %s AND "offset" = ANY(%s)'
    values = (group, part.topic_id, part.partition, list(offsets))
    cursor.execute(
        f'SELECT "offset" FROM dead_letters WHERE {position} UNION SELECT "offset" FROM parked_events WHERE {position}',
        (*values, *values),
    )
    return {row[0] for row in cursor.fetchall()}
