"""Records that were refused and kept byte for byte, in `dead_letters` and `parked_events`, and another try at them."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any
from uuid import UUID

from psycopg2.extras import Json, execute_values

from sesacctl import envelopes
from sesacctl.database.cursors import as_bytes
from sesacctl.envelopes import Envelope
from sesacctl.errors import CheckFailed
from sesacctl.events import CODECS, Kind, Malformed, Row, record_time
from sesacctl.pipeline.sink.batch import WRITE_ORDER, Batch, Entry, Refusal, malformed
from sesacctl.pipeline.sink.counts import Counter, Counts, PartitionKey
from sesacctl.pipeline.sink.forgotten import RedactedRecord, redact, user_of
from sesacctl.pipeline.sink.forgotten import read as read_forgotten
from sesacctl.pipeline.sink.patches import Patch, decode_patched
from sesacctl.pipeline.sink.sqlstates import Failure
from sesacctl.pipeline.sink.staging import write_staged

if TYPE_CHECKING:
    from psycopg2 import extensions

_RECORD = 'consumer_group, topic_id, partition, "offset", fingerprint'
_RAW = 'consumer_group, topic, topic_id, partition, "offset", key, value, headers, record_time'
_SELECT = (
    'id, topic, topic_id, partition, "offset", key, value, headers,'
    " coalesce((extract(epoch FROM record_time) * 1000)::bigint, -1), counted"
)


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """A kept record with the attributes of a consumed one; `timestamp` in milliseconds, -1 if unknown.

    `counted`: it is in the counters of its partition; these begin again when the offsets are moved by hand.
    """

    id: int
    topic: str
    topic_id: UUID
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[bytes, bytes | None]]
    timestamp: int
    counted: bool

    @property
    def source(self) -> PartitionKey:
        """The partition that it came from, as `sink_offsets` knows it."""
        return self.topic_id, self.partition


def save_dead_letters(
    cursor: extensions.cursor, group: str, refusals: Sequence[Refusal], *, counted: bool = True
) -> None:
    """Keep refused records with the reason; a record that is read again takes its old row's place.

    After a log was cut, another record has its position: that one is kept beside it.
    """
    if refusals:
        execute_values(
            cursor,
            f"INSERT INTO dead_letters AS old ({_RAW}, reason, detail, counted, erased_at, discarded_at) VALUES %s"
            f" ON CONFLICT ({_RECORD}) DO UPDATE SET reason = EXCLUDED.reason, detail = EXCLUDED.detail,"
            " erased_at = EXCLUDED.erased_at, discarded_at = EXCLUDED.discarded_at, patched_at = NULL,"
            " counted = old.counted OR EXCLUDED.counted",
            [
                (*_raw(group, refusal), refusal.reason.value, refusal.detail, counted, *[_erased_at(refusal)] * 2)
                for refusal in refusals
            ],
        )


def _erased_at(refusal: Refusal) -> datetime | None:
    """Nothing of it can be replayed: it is resolved, too."""
    record = refusal.record
    return datetime.now(UTC) if isinstance(record, RedactedRecord) and record.is_erased else None


def save_parked(cursor: extensions.cursor, group: str, refusals: Sequence[Refusal]) -> None:
    """Keep records whose user or product is not there yet; one that is read again keeps the time it began to wait.

    One that was a dead letter before its offsets were reset is one no longer.
    """
    if refusals:
        execute_values(
            cursor,
            f"INSERT INTO parked_events ({_RAW}, detail) VALUES %s"
            f" ON CONFLICT ({_RECORD}) DO UPDATE SET counted = true",
            [(*_raw(group, refusal), refusal.detail) for refusal in refusals],
        )
        places = tuple((each.batch.topic_id, each.batch.partition, each.record.offset) for each in refusals)
        cursor.execute(
            f"DELETE FROM dead_letters AS old USING (SELECT {_RECORD} FROM parked_events WHERE consumer_group = %s"
            ' AND (topic_id, partition, "offset") IN %s) AS new WHERE NOT old.counted AND old.patched_at IS NULL'
            " AND old.consumer_group = new.consumer_group AND old.topic_id = new.topic_id"
            ' AND old.partition = new.partition AND old."offset" = new."offset" AND old.fingerprint = new.fingerprint',
            (group, places),
        )


def _raw(group: str, refusal: Refusal) -> tuple[Any, ...]:
    """Header names and values are base64, as JSON cannot hold any bytes."""
    record, batch = refusal.record, refusal.batch
    headers = [
        [b64encode(name).decode(), None if value is None else b64encode(value).decode()]
        for name, value in record.headers
    ]
    position = (group, batch.topic, batch.topic_id, batch.partition, record.offset)
    return (*position, record.key, record.value, Json(headers), record_time(record.timestamp))


def select(
    cursor: extensions.cursor, table: str, where: str, values: Sequence[Any], *, lock: str = ""
) -> list[KeptRecord]:
    """Kept records of a table; `where` may include ORDER BY and LIMIT, `lock` is such as `FOR UPDATE`."""
    cursor.execute(f"SELECT {_SELECT} FROM {table} WHERE {where} {lock}", values)
    return [
        KeptRecord(
            number,
            topic,
            topic_id,
            partition,
            offset,
            as_bytes(key),
            as_bytes(value),
            unpack_headers(headers),
            at,
            counted,
        )
        for number, topic, topic_id, partition, offset, key, value, headers, at, counted in cursor.fetchall()
    ]


def unpack_headers(packed: Sequence[tuple[str, str | None]]) -> list[tuple[bytes, bytes | None]]:
    """Names and values of headers as they were, from the base64 in which they are kept."""
    return [(b64decode(name), None if value is None else b64decode(value)) for name, value in packed]


def try_again(
    cursor: extensions.cursor,
    kind_of: Mapping[str, Kind],
    records: Sequence[KeptRecord],
    zone: tzinfo = UTC,
    *,
    unwrap: Envelope | None = None,
    patch: Patch | None = None,
) -> dict[int, Refusal | None]:
    """Store kept records through the sink's own path; for each id why it was refused, None if it is stored now.

    `kind_of` has the kind of event for each topic name, `zone` is that of event times that have none; `patch`: change
    the value first; `unwrap`: take the event out of that envelope where it is one. In the caller's transaction.

    Raises:
        psycopg2.Error: of class INFRA or STOP; nothing is to be committed.
    """
    outcome: dict[int, Refusal | None] = dict.fromkeys((record.id for record in records), None)
    entries: dict[Kind, list[Entry]] = {kind: [] for kind in WRITE_ORDER}
    for record in records:
        kind = kind_of[record.topic]
        batch = Batch(kind, record.topic, record.topic_id, record.partition, 0, 0, ())
        try:
            row = _decode(kind, record, zone, unwrap, patch)
        except Malformed as error:
            outcome[record.id] = malformed(error, record, batch)
        else:
            entries[kind].append(Entry(row, record, batch))
    refusals = _redact(cursor, entries)
    for kind in WRITE_ORDER:
        refusals += write_staged(cursor, kind, entries[kind])
    for refusal in refusals:
        assert isinstance(refusal.record, KeptRecord)
        outcome[refusal.record.id] = refusal
    return outcome


def _redact(cursor: extensions.cursor, entries: dict[Kind, list[Entry]]) -> list[Refusal]:
    """As in a step of the sink; the records stay as they are kept, for they are locked by their ids."""
    users = {user for found in entries.values() for entry in found if (user := user_of(entry.row))}
    if not users or not (forgotten := read_forgotten(cursor, users)):
        return []
    removed: list[Refusal] = []
    for kind, found in entries.items():
        records = {id(entry): entry.record for entry in found}
        entries[kind], passed_over = redact(found, (), forgotten)
        for entry in entries[kind]:
            entry.record = records[id(entry)]
        removed += passed_over
    return removed


def _decode(kind: Kind, record: KeptRecord, zone: tzinfo, unwrap: Envelope | None, patch: Patch | None) -> Row:
    if patch is not None:
        return decode_patched(kind, record, patch, zone, unwrap=unwrap)
    arguments = record.key, record.value, record.timestamp, zone
    return (envelopes.decode(kind, *arguments, only=unwrap) if unwrap else CODECS[kind].decode(*arguments))[0]


def settle(
    changes: Mapping[PartitionKey, Counts], record: KeptRecord, origin: Counter, refusal: Refusal | None
) -> Counter | None:
    """Move a record that was tried again from the counter `origin` to the one that it returns; None: refused again."""
    if refusal is not None and refusal.failure is not Failure.DUPLICATE:
        return None
    to: Counter = "stored" if refusal is None else "duplicates"
    move_count(changes, record, origin, to)
    return to


def move_count(changes: Mapping[PartitionKey, Counts], record: KeptRecord, origin: Counter, to: Counter) -> None:
    """Count a record less as `origin` and more as `to`, if it is in its partition's counters at all."""
    if record.counted:
        changes[record.source].move(origin, to)


def keep_patched(cursor: extensions.cursor, ids: Sequence[int], patch: Patch) -> None:
    """Keep locked dead letters that are stored now with a patch: their bytes, and the patch beside them.

    Raises:
        CheckFailed: a trigger or a policy did not let some be changed; they would be counted again.
    """
    cursor.execute(
        "UPDATE dead_letters SET patch = %s, patched_at = now(), counted = false,"
        " discarded_at = coalesce(discarded_at, now()) WHERE id = ANY(%s)",
        (Json(patch), list(ids)),
    )
    _require_all(cursor, "dead_letters", "changed", len(ids))


def forget(cursor: extensions.cursor, table: str, ids: Sequence[int]) -> None:
    """Delete locked records that are settled now.

    Raises:
        CheckFailed: a trigger or a policy kept some; they would be counted again.
    """
    cursor.execute(f"DELETE FROM {table} WHERE id = ANY(%s)", (list(ids),))
    _require_all(cursor, table, "deleted", len(ids))


def _require_all(cursor: extensions.cursor, table: str, what: str, number: int) -> None:
    if cursor.rowcount != number:
        raise CheckFailed(
            f"{table}: PostgreSQL {what} {cursor.rowcount} of {number} rows and raised nothing",
            hint=f"drop the trigger or the policy that keeps rows of {table}; then the same command again",
        )
