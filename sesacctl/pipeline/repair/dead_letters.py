"""What operators do with dead letters: look, try again, discard, export."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from sesacctl import files
from sesacctl.database import row_security
from sesacctl.database.connections import transaction
from sesacctl.documents import as_json
from sesacctl.envelopes import Envelope
from sesacctl.errors import ConfigurationError, DeadLetterMissing
from sesacctl.log import escaped
from sesacctl.pipeline.repair.another_try import settle_letters, try_letters
from sesacctl.pipeline.repair.letters import DeadLetter, LetterPage, read_letters
from sesacctl.pipeline.sink import offsets
from sesacctl.pipeline.sink.patches import Patch
from sesacctl.pipeline.sink.retained import KeptRecord, select
from sesacctl.pipeline.sink.sqlstates import Failure
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions

_CHUNK = 500
_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which dead letters: all that match every given part.

    Those that are discarded, or stored with a patch, only when they are named by id; with `discarded` only those.
    """

    ids: tuple[int, ...] = ()
    topic: str | None = None
    reason: str | None = None
    since: datetime | None = None
    discarded: bool = False

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
        if self.discarded:
            parts.append("discarded_at IS NOT NULL")
        elif not self.ids:
            parts.append("discarded_at IS NULL")
        return " AND ".join(parts), values


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedAgain:
    """A dead letter that was tried, and why it stays."""

    id: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What became of dead letters that were tried again; `refused` by reason, and the first twenty of them `named`.

    They stay, with the new reason; after a try with a patch with their old one, as their bytes are as they were.
    """

    dry_run: bool
    tried: int
    stored: int
    duplicates: int
    refused: dict[str, int]
    named: list[RefusedAgain]


def find(settings: Settings, wanted: Filter, *, limit: int) -> list[DeadLetter]:
    """The newest dead letters first.

    Raises:
        ServerUnreachable: PostgreSQL cannot be reached.
        ServerRefused: PostgreSQL refused: wrong credentials or a missing right.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    with _transaction(settings, "dlq-list") as cursor:
        return list(read_letters(cursor, *wanted.where(settings), order="id DESC", limit=limit))


def page(settings: Settings, wanted: Filter, *, limit: int) -> LetterPage:
    """The newest dead letters first, and how many there are; errors as `find`."""
    with _transaction(settings, "dlq-list") as cursor:
        where, values = wanted.where(settings)
        items = list(read_letters(cursor, where, values, order="id DESC", limit=limit))
        cursor.execute(f"SELECT reason, count(*) FROM dead_letters WHERE {where} GROUP BY 1 ORDER BY 2 DESC, 1", values)
        by_reason = dict(cursor.fetchall())
    total = max(len(items), sum(by_reason.values()))  # some may have been replayed between the two looks
    return LetterPage(items=items, total=total, beyond=total - len(items), by_reason=by_reason)


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


def replay(
    settings: Settings,
    wanted: Filter,
    *,
    dry_run: bool = False,
    unwrap: Envelope | None = None,
    patch: Patch | None = None,
) -> Replayed:
    """Try dead letters again through the sink; what is stored, or is there already, leaves `dead_letters`.

    `unwrap`: where a record is such an envelope, store the event that is in it. `patch`: store what this makes of each;
    these stay in `dead_letters`, byte for byte, discarded and with the patch, for audits.

    Raises:
        ServerUnreachable: PostgreSQL cannot be reached; chunks of 500 that were done before stay done.
        ServerRefused: wrong credentials or a missing right; chunks that were done before stay done.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    outcome: Counter[str] = Counter()
    named: list[RefusedAgain] = []
    last, tried = 0, 0
    while ids := _next_ids(settings, wanted, last):
        last = ids[-1]
        with _transaction(settings, "dlq-replay", commit=not dry_run) as cursor:
            records = _lock(cursor, settings, ids)
            results = try_letters(cursor, settings, records, unwrap, patch)
            outcome += settle_letters(cursor, settings, results, patch)
        tried += len(records)
        named += [
            RefusedAgain(id=record.id, reason=refusal.reason, detail=refusal.detail)
            for record, refusal in results
            if refusal is not None and refusal.failure is not Failure.DUPLICATE
        ][: _NAMED - len(named)]
    stored, duplicates = outcome.pop("stored", 0), outcome.pop("duplicates", 0)
    refused = dict(outcome)
    return Replayed(dry_run=dry_run, tried=tried, stored=stored, duplicates=duplicates, refused=refused, named=named)


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
    try:
        with files.replacing(path) as file:
            return write_lines(settings, wanted, file)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}", hint="another file") from None


def write_lines(settings: Settings, wanted: Filter, file: TextIO) -> int:
    """Write dead letters to an open file as they come; errors as `find`."""
    written = 0
    with _transaction(settings, "dlq-export", on_server="letters") as cursor:
        for letter in read_letters(cursor, *wanted.where(settings), order="id", limit=None):
            file.write(escaped(json.dumps(as_json(letter), ensure_ascii=False)) + "\n")
            written += 1
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
