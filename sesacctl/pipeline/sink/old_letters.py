"""Dead letters of records that are read again after a reset of offsets: what is stored now is refused no longer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from sesacctl.database.cursors import as_bytes
from sesacctl.events import Kind
from sesacctl.pipeline.sink.batch import Batch, Entry, Refusal
from sesacctl.pipeline.sink.counts import PartitionKey
from sesacctl.pipeline.sink.record_like import RecordLike
from sesacctl.pipeline.sink.retained import unpack_headers
from sesacctl.pipeline.sink.sqlstates import Failure

if TYPE_CHECKING:
    from psycopg2 import extensions

_NONE = -1
# A reset takes letters out of the counters; one that is still in them is of a record that was read once.
_OPEN = "consumer_group = %s AND NOT counted AND discarded_at IS NULL AND patched_at IS NULL"


class OldLetters:
    """Those of one sink's partitions: asked for once after a partition was taken up, and while it reads below them."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._last: dict[PartitionKey, int] = {}

    def forget(self, keys: Iterable[PartitionKey]) -> None:
        """Ask again for these: their offsets may have been moved."""
        for key in keys:
            self._last.pop(key, None)

    def settle(
        self,
        cursor: extensions.cursor,
        batches: Sequence[Batch],
        entries: Mapping[Kind, Sequence[Entry]],
        refusals: Sequence[Refusal],
    ) -> None:
        """Delete those whose very record this step has stored, or found stored; in the step's transaction.

        The position alone says nothing: after a log was cut, another record has it, and the letter is the only copy.
        """
        self._learn(cursor, [batch.key for batch in batches if batch.key not in self._last])
        below = [batch for batch in batches if batch.next_offset <= self._last[batch.key]]
        if not below:
            return
        kept = {_place(each) for each in refusals if each.failure is not Failure.DUPLICATE}
        records = {_place(entry): entry.record for found in entries.values() for entry in found}
        records |= {_place(each): each.record for each in refusals if each.decoded}
        settled = [
            number
            for batch in below
            for number, offset, raw in self._read(cursor, batch)
            if (place := (batch.key, offset)) in records and place not in kept and raw == _bytes_of(records[place])
        ]
        if settled:  # in the order of ids, as `dlq discard` locks them
            cursor.execute(
                "DELETE FROM dead_letters WHERE id IN"
                f" (SELECT id FROM dead_letters WHERE id = ANY(%s) AND {_OPEN} ORDER BY id FOR UPDATE)",
                (settled, self._group),
            )

    def _learn(self, cursor: extensions.cursor, keys: Sequence[PartitionKey]) -> None:
        if not keys:
            return
        self._last |= dict.fromkeys(keys, _NONE)
        cursor.execute(
            f'SELECT topic_id, partition, max("offset") FROM dead_letters WHERE {_OPEN}'
            " AND (topic_id, partition) IN %s GROUP BY 1, 2",
            (self._group, tuple(keys)),
        )
        self._last |= {(topic_id, partition): last for topic_id, partition, last in cursor.fetchall()}

    def _read(self, cursor: extensions.cursor, batch: Batch) -> list[tuple[int, int, tuple[object, ...]]]:
        cursor.execute(
            f'SELECT id, "offset", key, value, headers FROM dead_letters WHERE {_OPEN}'
            ' AND topic_id = %s AND partition = %s AND "offset" >= %s AND "offset" < %s',
            (self._group, *batch.key, batch.next_offset, batch.end),
        )
        return [
            (number, offset, (as_bytes(key), as_bytes(value), unpack_headers(headers)))
            for number, offset, key, value, headers in cursor.fetchall()
        ]


def _place(each: Entry | Refusal) -> tuple[PartitionKey, int]:
    return each.batch.key, each.record.offset


def _bytes_of(record: RecordLike) -> tuple[object, ...]:
    return record.key, record.value, list(record.headers)
