"""A dump put in the place of all rows, in one transaction beside running consumers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, cast

from psycopg2.errors import FeatureNotSupported

from sesacctl.database import row_security
from sesacctl.database.connections import transaction
from sesacctl.database.schema import revisions
from sesacctl.database.schema.version_table import VERSION_TABLE
from sesacctl.errors import CheckFailed, SchemaNotAtHead
from sesacctl.pipeline.repair import counted, erasure
from sesacctl.pipeline.repair.archive import Archive, Rows, open_archive
from sesacctl.pipeline.sink import forgotten, offsets
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions

TABLES = tuple(name for name in row_security.TABLES if name != VERSION_TABLE)
_SERIAL = ("dead_letters", "parked_events", "log_cuts", "row_changes", forgotten.TABLE)
_SECONDS = 3600.0  # for one table


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The rows of each table, as in the file; users who were forgotten or removed since it was made are so again."""

    file: str
    made_at: datetime | None
    revision: str
    rows: dict[str, int] = field(default_factory=dict)
    forgotten_again: int = 0
    removed_again: int = 0


def look(settings: Settings, path: Path) -> Restored:
    """What the file is, if it fits the database; changes nothing. Errors as `restore`."""
    revisions.require_direct(settings)
    archive = open_archive(path)
    with transaction(settings, command="db-restore") as cursor:
        revisions.require_head(cursor.connection)
    return Restored(file=str(path), made_at=archive.made_at, revision=_require_same(archive))


def restore(
    settings: Settings, path: Path, *, on_rows: Callable[[str, int], None] = lambda _table, _rows: None
) -> Restored:
    """Replace the rows of all tables by those of the file, or change nothing.

    Consumers that run wait meanwhile, and continue from the offsets in the file: what came later is read from Kafka
    again. `on_rows` gets each table's name and number of rows.

    Raises:
        UsageError: the file cannot be read, or is not a dump.
        CheckFailed: pg_restore cannot read it, something of the user's own is in the way, or others held the tables.
        ConfigurationError: there is no pg_restore that fits, or the server is behind a transaction pooler.
        SchemaNotAtHead: the file or the database is not at the revision that this sesacctl needs.
        ServerUnreachable: PostgreSQL cannot be reached; nothing was changed, unless it was lost during the commit.
        ServerRefused: wrong credentials or a missing right; nothing was changed.
    """
    found = look(settings, path)
    rows = dict.fromkeys(TABLES, 0)
    with transaction(settings, command="db-restore", bound=_SECONDS) as cursor, counted.explained("the tables"):
        revisions.require_head(cursor.connection)
        row_security.require_all(cursor)
        counted.lock_out_writers(cursor)
        # First the one that an audit locks first.
        cursor.execute(f"LOCK TABLE {offsets.TABLE}, {', '.join(TABLES)} IN ACCESS EXCLUSIVE MODE")
        known = forgotten.read(cursor)
        _empty(cursor)
        with open_archive(path).rows() as tables:
            for table in tables:
                rows[table.table] = rows.get(table.table, 0) + _copy(cursor, table)
                on_rows(table.table, rows[table.table])
        _raise_sequences(cursor)
        again = _forget_again(cursor, settings, known)
        cursor.connection.commit()
    return Restored(
        file=found.file,
        made_at=found.made_at,
        revision=found.revision,
        rows=rows,
        forgotten_again=len(again) - sum(known[user_id] for user_id in again),
        removed_again=sum(known[user_id] for user_id in again),
    )


def _require_same(archive: Archive) -> str:
    revision = archive.revision()
    if revision != revisions.head():
        raise SchemaNotAtHead(
            f"{archive.path} is of schema revision {revision or 'unknown'}, and the database at {revisions.head()}",
            hint="restore it with the version that made it, then sesacctl db migrate with this one",
        )
    return revision


def _empty(cursor: extensions.cursor) -> None:
    try:
        cursor.execute(f"TRUNCATE {', '.join(TABLES)}")
    except FeatureNotSupported as error:
        raise CheckFailed(
            f"The tables cannot be emptied: {' '.join(str(error).split())}",
            hint="drop the foreign keys that refer to them; then the same command again",
        ) from error


def _copy(cursor: extensions.cursor, rows: Rows) -> int:
    if rows.table not in TABLES:
        raise CheckFailed(f"The file has rows of {rows.table}, which is not sesacctl's", hint="another file")
    file = cast("IO[bytes]", rows)  # only `read` is called
    cursor.copy_expert(f"COPY {rows.table} ({rows.columns}) FROM STDIN", file)
    return int(cursor.rowcount)


def _raise_sequences(cursor: extensions.cursor) -> None:
    """Never lower them: what is set stays so even if this transaction is undone."""
    for table in _SERIAL:
        cursor.execute(
            f"SELECT setval(sequence, greatest((SELECT max(id) FROM {table}), nextval(sequence)))"
            " FROM pg_get_serial_sequence(%s, 'id') AS sequence",
            (table,),
        )
    # The highest id is the list's version: those who know the list of before are to read it again.
    cursor.execute(f"UPDATE {forgotten.TABLE} SET id = DEFAULT WHERE id = (SELECT max(id) FROM {forgotten.TABLE})")


def _forget_again(cursor: extensions.cursor, settings: Settings, known: forgotten.Forgotten) -> Sequence[str]:
    """Those who were forgotten or removed after the file was made; it has all of them."""
    there = forgotten.read(cursor)
    again = [user_id for user_id, removed in known.items() if there.get(user_id) != removed]
    for user_id in again:
        erasure.register(cursor, user_id, reason="restore", removed=known[user_id])
        erasure.erase_letters(cursor, user_id)
        if known[user_id]:
            counted.delete_user(cursor, user_id)
        else:
            erasure.anonymise_user(cursor, user_id)
            erasure.anonymise_orders(cursor, user_id)
            erasure.redact_parked(cursor, settings, user_id)
    return again
