"""Records that a group keeps as dead letters or parked events: byte for byte, or without what was personal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING

from sesacctl import envelopes
from sesacctl.database.cursors import as_bytes
from sesacctl.events import Kind, Malformed, Row
from sesacctl.formats import Headers
from sesacctl.pipeline.audit.partitions import PartitionProgress
from sesacctl.pipeline.sink import forgotten
from sesacctl.pipeline.sink.forgotten import Forgotten, anonymise, mentions, redacted, user_of
from sesacctl.pipeline.sink.patches import Patch, decode_patched
from sesacctl.pipeline.sink.retained import unpack_headers
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions

    from sesacctl.pipeline.sink.record_like import RecordLike

_Bytes = tuple[bytes | None, bytes | None, list[tuple[bytes, bytes | None]]]


def event_of(kind: Kind, record: RecordLike, zone: tzinfo = UTC, patch: Patch | None = None) -> Row | None:
    """The event; also one in an envelope or with a patch, as `dlq replay --unwrap` and `--patch` have stored it."""
    try:
        if patch is not None:
            return decode_patched(kind, record, patch, zone)
        return envelopes.decode(kind, record.key, record.value, record.timestamp, zone)[0]
    except Malformed:
        return None


def kept_offsets(
    cursor: extensions.cursor, settings: Settings, part: PartitionProgress, records: Sequence[RecordLike]
) -> set[int]:
    """The offsets of the records that the group keeps. One statement: a parked event may become a dead letter.

    The position alone says nothing: after a log was cut, another record may have it.
    """
    kept = _read(cursor, settings.kafka_group, part, records[0].offset, records[-1].offset)
    there = [record for record in records if record.offset in kept]
    found = {record.offset for record in there if _bytes_of(record) in kept[record.offset]}
    if others := [record for record in there if record.offset not in found]:
        users = forgotten.read(cursor)
        found |= {
            record.offset
            for record in others
            if any(each in kept[record.offset] for each in _redacted(part.kind, record, users, settings.event_timezone))
        }
    return found


def _read(
    cursor: extensions.cursor, group: str, part: PartitionProgress, first: int, last: int
) -> dict[int, list[_Bytes]]:
    position = 'consumer_group = %s AND topic_id = %s AND partition = %s AND "offset" BETWEEN %s AND %s'
    values = (group, part.topic_id, part.partition, first, last)
    cursor.execute(
        f'SELECT "offset", key, value, headers FROM dead_letters WHERE {position}'
        f' UNION ALL SELECT "offset", key, value, headers FROM parked_events WHERE {position}',
        (*values, *values),
    )
    kept: defaultdict[int, list[_Bytes]] = defaultdict(list)
    for offset, key, value, headers in cursor.fetchall():
        kept[offset].append((as_bytes(key), as_bytes(value), unpack_headers(headers)))
    return kept


def _redacted(kind: Kind, record: RecordLike, users: Forgotten, zone: tzinfo) -> Iterator[_Bytes]:
    """What is kept instead of a record of a user who was forgotten; nothing for others."""
    row = event_of(kind, record, zone)
    if row is not None and user_of(row) in users:
        anonymise(row)
        yield _bytes_of(redacted(record, row))
    elif not mentions(record.key, record.value, users):
        return
    yield _bytes_of(redacted(record))


def _bytes_of(record: RecordLike) -> _Bytes:
    headers: Headers = record.headers
    return record.key, record.value, list(headers)
