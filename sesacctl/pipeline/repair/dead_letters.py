"""What operators do with dead letters: look, try again, discard, export."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg2.extras import execute_values

from sesacctl import files, formatting
from sesacctl.database import row_security
from sesacctl.database.connections import transaction
from sesacctl.envelopes import Envelope
from sesacctl.errors import ConfigurationError, DeadLetterMissing
from sesacctl.events import PARTITIONS
from sesacctl.pipeline.sink import offsets
from sesacctl.pipeline.sink.counts import Counts, PartitionKey
from sesacctl.pipeline.sink.retained import KeptRecord, forget, select, settle, try_again
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions

_CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which dead letters: all that match every given part. Discarded ones only when they are named by id."""

    ids: tuple[int, ...] = ()
    topic: str | None = None
    reason: str | None = None
    since: datetime | None = None

    def where(self, settings: Settings) -> tuple[str, list[Any]]:
        """A condition and its values."""
        parts = ["consumer_group = %s"]
        values: list[Any] = [settings.kafka_group]
        for column, value in (
            ("id = ANY(%s)", list(self.ids) or None),
            ("topic = %s", settings.topic(self.topic) if self.topic else None),
            ("reason = %s", self.reason),
            ("created_at >= %s", self.since),
        ):
            if value is not None:
                parts.append(column)
                values.append(value)
        if not self.ids:
            parts.append("discarded_at IS NULL")
        return " AND ".join(parts), values


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """One refused record; `key` and `value` as text as far as they are text, the bytes in base64."""

    id: int
    topic: str
    partition: int
    offset: int
    reason: str
    detail: str
    created_at: datetime
    discarded_at: datetime | None
    record_time: datetime | None
    key: str | None
    value: str | None
    key_base64: str | None
    value_base64: str | None
    headers: list[tuple[str, str | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What became of dead letters that were tried again; `refused` by reason: they stay, with the new reason."""

    dry_run: bool
    tried: int
    stored: int
    duplicates: int
    refused: dict[str, int]


def find(settings: Settings, wanted: Filter, *, limit: int) -> list[DeadLetter]:
    """The newest dead letters first.

    Raises:
        ServerUnreachable: PostgreSQL cannot be reached.
        ServerRefused: PostgreSQL refused: wrong credentials or a missing right.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    with _transaction(settings, "dlq-list") as cursor:
        return list(_read(cursor, *wanted.where(settings), order="id DESC", limit=limit))


def show(settings: Settings, letter_id: int) -> DeadLetter:
    """One dead letter.

    Raises:
        DeadLetterMissing: the group has no dead letter of this id.
        ServerUnreachable: PostgreSQL cannot be reached.
        ServerRefused: PostgreSQL refused: wrong credentials or a missing right.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    found = find(settings, Filter(ids=(letter_id,)), limit=1)
    if not found:
        raise DeadLetterMissing(f"there is no dead letter {letter_id} in group {settings.kafka_group}")
    return found[0]


def _read(
    cursor: extensions.cursor, where: str, values: list[Any], *, order: str, limit: int | None
) -> Iterator[DeadLetter]:
    cursor.execute(
        f'SELECT id, topic, partition, "offset", reason, detail, created_at, discarded_at, record_time, key, value,'
        f" headers FROM dead_letters WHERE {where} ORDER BY {order} LIMIT %s",
        [*values, limit],
    )
    for row in cursor:
        key, value = (None if column is None else bytes(column) for column in row[9:11])
        yield DeadLetter(
            id=row[0],
            topic=row[1],
            partition=row[2],
            offset=row[3],
            reason=row[4],
            detail=row[5],
            created_at=row[6],
            discarded_at=row[7],
            record_time=row[8],
            key=formatting.readable(key),
            value=formatting.readable(value),
            key_base64=formatting.base64_text(key),
            value_base64=formatting.base64_text(value),
            headers=[tuple(header) for header in row[11]],
        )


def replay(settings: Settings, wanted: Filter, *, dry_run: bool = False, unwrap: Envelope | None = None) -> Replayed:
    """Try dead letters again through the sink; what is stored, or is there already, leaves `dead_letters`.

    `unwrap`: where a record is such an envelope, store the event that is in it.

    Raises:
        ServerUnreachable: PostgreSQL cannot be reached; chunks of 500 that were done before stay done.
        ServerRefused: wrong credentials or a missing right; chunks that were done before stay done.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    outcome: Counter[str] = Counter()
    last, tried = 0, 0
    while ids := _next_ids(settings, wanted, last):
        last = ids[-1]
        with _transaction(settings, "dlq-replay", commit=not dry_run) as cursor:
            records = _lock(cursor, settings, ids)
            outcome += _replay_chunk(cursor, settings, records, unwrap)
        tried += len(records)
    stored, duplicates = outcome.pop("stored", 0), outcome.pop("duplicates", 0)
    return Replayed(dry_run=dry_run, tried=tried, stored=stored, duplicates=duplicates, refused=dict(outcome))


def _next_ids(settings: Settings, wanted: Filter, last: int) -> list[int]:
    with _transaction(settings, "dlq-replay") as cursor:
        where, values = wanted.where(settings)
        cursor.execute(
            f"SELECT id FROM dead_letters WHERE {where} AND id > %s ORDER BY id LIMIT %s", [*values, last, _CHUNK]
        )
        return [row[0] for row in cursor.fetchall()]


def _lock(cursor: extensions.cursor, settings: Settings, ids: Sequence[int]) -> list[KeptRecord]:
    """Those that are still there: another replay may have been quicker with some."""
    cursor.execute("SELECT DISTINCT topic_id, partition FROM dead_letters WHERE id = ANY(%s)", (ids,))
    if keys := cursor.fetchall():
        offsets.lock(cursor, settings.kafka_group, keys)
    return select(cursor, "dead_letters", "id = ANY(%s) ORDER BY id", (ids,), lock="FOR UPDATE")


def _replay_chunk(
    cursor: extensions.cursor, settings: Settings, records: Sequence[KeptRecord], unwrap: Envelope | None
) -> Counter[str]:
    kinds = {settings.topic(kind): kind for kind in PARTITIONS}
    known = [record for record in records if record.topic in kinds]
    results = try_again(cursor, kinds, known, settings.event_timezone, unwrap=unwrap)
    outcome: Counter[str] = Counter()
    changes: defaultdict[PartitionKey, Counts] = defaultdict(Counts)
    done, refused = [], []
    for record in known:
        refusal = results[record.id]
        name: str | None = settle(changes, record, "dead", refusal)
        if name:
            done.append(record.id)
        else:
            assert refusal is not None
            name = refusal.reason.value
            refused.append((record.id, name, refusal.detail))
        outcome[name] += 1
    offsets.adjust_counters(cursor, settings.kafka_group, changes)
    forget(cursor, "dead_letters", done)
    if refused:
        execute_values(
            cursor,
            "UPDATE dead_letters AS d SET reason = v.reason, detail = v.detail"
            " FROM (VALUES %s) AS v (id, reason, detail) WHERE d.id = v.id",
            refused,
        )
    return outcome


def count(settings: Settings, wanted: Filter) -> int:
    """How many dead letters match; errors as `find`."""
    with _transaction(settings, "dlq-count") as cursor:
        where, values = wanted.where(settings)
        cursor.execute(f"SELECT count(*) FROM dead_letters WHERE {where}", values)
        return int(cursor.fetchone()[0])


def discard(settings: Settings, wanted: Filter) -> int:
    """Mark dead letters as resolved; the rows stay. Returns how many. Errors as `find`."""
    with _transaction(settings, "dlq-discard") as cursor:
        where, values = wanted.where(settings)
        # In the order of ids, as a replay locks them: the two wait for each other, and never both at once.
        cursor.execute(
            "UPDATE dead_letters SET discarded_at = now() WHERE id IN"
            f" (SELECT id FROM dead_letters WHERE {where} AND discarded_at IS NULL ORDER BY id FOR UPDATE)",
            values,
        )
        return int(cursor.rowcount)


def export(settings: Settings, wanted: Filter, path: Path) -> int:
    """Write dead letters to a file, one JSON object a line, whole or not at all; returns how many.

    Raises:
        ConfigurationError: the file cannot be written.
        ServerUnreachable: PostgreSQL cannot be reached.
        ServerRefused: PostgreSQL refused: wrong credentials or a missing right.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    written = 0
    try:
        with (
            files.replacing(path) as file,
            _transaction(settings, "dlq-export", on_server="letters") as cursor,
        ):
            for letter in _read(cursor, *wanted.where(settings), order="id", limit=None):
                document = {name: getattr(letter, name) for name in DeadLetter.__slots__}
                file.write(json.dumps(document, ensure_ascii=False, default=str) + "\n")
                written += 1
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}", hint="another file") from None
    return written


@contextmanager
def _transaction(
    settings: Settings, command: str, *, commit: bool = True, on_server: str | None = None
) -> Iterator[Any]:
    """`on_server` names a cursor whose rows stay on the server until they are read."""
    with transaction(settings, command=command, commit=commit) as first:
        row_security.require_all(first, ("dead_letters", offsets.TABLE))
        with first.connection.cursor(on_server) as cursor:
            yield cursor
