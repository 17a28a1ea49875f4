"""Records whose event was stored with a patch: they differ from their log by a person's decision, and by no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sesacctl.database.cursors import as_bytes
from sesacctl.pipeline.audit.partitions import PartitionProgress
from sesacctl.pipeline.sink.patches import Patch, read_patch
from sesacctl.pipeline.sink.retained import unpack_headers

if TYPE_CHECKING:
    from psycopg2 import extensions

    from sesacctl.pipeline.sink.record_like import RecordLike


def patches_of(
    cursor: extensions.cursor, group: str, part: PartitionProgress, records: Sequence[RecordLike]
) -> dict[int, Patch]:
    """By offset the patch with which a record of one partition was stored, whose bytes are kept as a dead letter.

    The position alone says nothing: after a log was cut, another record may have it.
    """
    cursor.execute(
        'SELECT "offset", key, value, headers, patch::text FROM dead_letters WHERE consumer_group = %s'
        ' AND topic_id = %s AND partition = %s AND "offset" BETWEEN %s AND %s AND patched_at IS NOT NULL'
        " AND erased_at IS NULL",
        (group, part.topic_id, part.partition, records[0].offset, records[-1].offset),
    )
    letters = cursor.fetchall()
    if not letters:
        return {}
    by_offset = {record.offset: record for record in records}
    found = {}
    for offset, key, value, headers, patch in letters:
        record = by_offset.get(offset)
        raw = (as_bytes(key), as_bytes(value), unpack_headers(headers))
        if record is not None and raw == (record.key, record.value, list(record.headers)):
            found[offset] = read_patch(patch.encode())
    return found
