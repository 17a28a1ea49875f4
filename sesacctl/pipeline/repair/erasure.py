"""Taking what is personal of one user out of PostgreSQL; every function works in the caller's transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from sesacctl.errors import CheckFailed
from sesacctl.events import CODECS, ORDERS, USERS, Malformed
from sesacctl.pipeline.sink import forgotten
from sesacctl.pipeline.sink.forgotten import ANONYMOUS, ERASED, NO_TIME, anonymise, redacted, user_of
from sesacctl.pipeline.sink.retained import select
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions

PERSONAL = ("user_region", "user_gender", "user_age_group")
"""What an order holds of its user, but for the id."""
_OVERWRITTEN = ("user_id", "name", "last_cached_at", "created_at")
_PERSONAL_MEMBERS = {*PERSONAL, *CODECS[USERS].columns} - {"user_id", "created_at"}
_KNOWN = (*CODECS[USERS].columns, "last_cached_at")


@dataclass(frozen=True, slots=True)
class KeptRow:
    """Where a row of `dead_letters` or `parked_events` is, and whether it is in its partition's counters."""

    id: int
    group: str
    topic_id: UUID
    partition: int
    offset: int
    counted: bool


def register(cursor: extensions.cursor, user_id: str, *, reason: str, removed: bool = False) -> None:
    """Add a user to the list that consumers know; one that is there gets a new id, which is the list's version."""
    cursor.execute(
        f"INSERT INTO {forgotten.TABLE} AS old (user_id, removed, reason) VALUES (%s, %s, %s) ON CONFLICT (user_id)"
        " DO UPDATE SET id = EXCLUDED.id, removed = EXCLUDED.removed, reason = EXCLUDED.reason",
        (user_id, removed, reason),
    )


def anonymise_user(cursor: extensions.cursor, user_id: str) -> int:
    """Overwrite all columns of the user's row but the id, also those that are not sesacctl's; returns 1, or 0.

    Raises:
        CheckFailed: a column that is not sesacctl's must not be NULL.
    """
    columns = _emptied(cursor, user_id)
    empty = "".join(f", {column} = NULL" for column in columns)
    cursor.execute(
        f"UPDATE users SET name = %s, created_at = %s, last_cached_at = coalesce(last_cached_at, now()){empty}"
        " WHERE user_id = %s",
        (ANONYMOUS, NO_TIME, user_id),
    )
    return int(cursor.rowcount)


def _emptied(cursor: extensions.cursor, user_id: str) -> list[str]:
    """The columns to empty, quoted."""
    cursor.execute(
        "SELECT attname, quote_ident(attname), attnotnull FROM pg_attribute WHERE attrelid = 'users'::regclass"
        " AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum"
    )
    found = [row for row in cursor.fetchall() if row[0] not in _OVERWRITTEN]
    if required := [name for name, _, not_null in found if not_null and name not in _KNOWN]:
        raise CheckFailed(
            f"users has columns that sesacctl does not know and that must not be empty: {', '.join(required)}",
            hint=f"ALTER TABLE users ALTER {required[0]} DROP NOT NULL; then sesacctl db forget {user_id}",
        )
    return [quoted for _, quoted, _ in found]


def anonymise_orders(cursor: extensions.cursor, user_id: str) -> int:
    """Empty what orders hold of the user; returns how many held something."""
    held = " OR ".join(f"{column} IS NOT NULL" for column in PERSONAL)
    cursor.execute(
        f"UPDATE {ORDERS} SET {', '.join(f'{column} = NULL' for column in PERSONAL)} WHERE user_id = %s AND ({held})",
        (user_id,),
    )
    return int(cursor.rowcount)


def mentioning(user_id: str) -> tuple[str, Mapping[str, object]]:
    """A condition on kept records that are keyed by the user, or hold the id as a text of JSON; and its values."""
    forms = {json.dumps(user_id, ensure_ascii=ascii_only).encode() for ascii_only in (True, False)}
    values = {f"form{number}": form for number, form in enumerate(sorted(forms))}
    holds = "".join(f" OR position(%({name})s IN value) > 0" for name in values)
    return f"(key = %(key)s{holds})", {"key": user_id.encode(), **values}


def find_kept(cursor: extensions.cursor, table: str, user_id: str) -> list[KeptRow]:
    """The user's rows among `dead_letters` or `parked_events`, of all groups."""
    condition, values = mentioning(user_id)
    cursor.execute(
        f'SELECT id, consumer_group, topic_id, partition, "offset", counted FROM {table} WHERE {condition}'
        " ORDER BY id FOR UPDATE",
        values,
    )
    return [KeptRow(*row) for row in cursor.fetchall()]


def redact_parked(cursor: extensions.cursor, settings: Settings, user_id: str) -> int:
    """Replace the user's parked orders by the same orders without anything personal; returns how many changed."""
    ids = [row.id for row in find_kept(cursor, "parked_events", user_id)]
    changed = 0
    for record in select(cursor, "parked_events", "id = ANY(%s) ORDER BY id", (ids,)):
        try:
            row = CODECS[ORDERS].decode(record.key, record.value, record.timestamp, settings.event_timezone)[0]
        except Malformed:  # it will be a dead letter
            row = None
        if row is not None and user_of(row) != user_id:
            continue
        if row is not None:
            anonymise(row)
        new = redacted(record, row)
        if (new.key, new.value, []) != (record.key, record.value, record.headers):
            cursor.execute(
                "UPDATE parked_events SET key = %s, value = %s, headers = '[]' WHERE id = %s",
                (new.key, new.value, record.id),
            )
            changed += 1
    return changed


def erase_letters(cursor: extensions.cursor, user_id: str) -> int:
    """Delete bytes, patch and detail of the user's dead letters; the rows stay, resolved. Returns how many."""
    letters = find_kept(cursor, "dead_letters", user_id)
    ids = [letter.id for letter in letters]
    _drop_doubles(cursor, letters)
    _redact_patches(cursor, user_id)
    cursor.execute(
        "UPDATE dead_letters SET key = NULL, value = NULL, headers = '[]', patch = NULL, detail = %s,"
        " erased_at = now(), discarded_at = coalesce(discarded_at, now()) WHERE id = ANY(%s)",
        (ERASED, ids),
    )
    return len(ids)


def _redact_patches(cursor: extensions.cursor, user_id: str) -> None:
    """Take what is personal out of the patches that gave a record to the user; the audit needs the rest of them."""
    forms = [json.dumps(user_id, ensure_ascii=ascii_only) for ascii_only in (True, False)]
    cursor.execute(
        "SELECT id, patch::text FROM dead_letters WHERE patch IS NOT NULL"
        " AND (position(%s IN patch::text) > 0 OR position(%s IN patch::text) > 0) FOR UPDATE",
        forms,
    )
    for number, patch in cursor.fetchall():
        cursor.execute(
            "UPDATE dead_letters SET patch = %s WHERE id = %s",
            (json.dumps(_without_personal(json.loads(patch))), number),
        )


def _without_personal(part: object) -> object:
    if not isinstance(part, dict):
        return part
    return {name: _without_personal(each) for name, each in part.items() if name not in _PERSONAL_MEMBERS}


def _drop_doubles(cursor: extensions.cursor, letters: Sequence[KeptRow]) -> None:
    """After a log was cut, two letters may have one position: without bytes, they are one."""
    if letters:
        cursor.execute(
            "DELETE FROM dead_letters WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER"
            ' (PARTITION BY consumer_group, topic_id, partition, "offset" ORDER BY counted DESC, id) AS place'
            " FROM dead_letters WHERE id = ANY(%s) OR (erased_at IS NOT NULL"
            ' AND (consumer_group, topic_id, partition, "offset") IN %s)) AS same WHERE place > 1)',
            (
                [letter.id for letter in letters],
                tuple((letter.group, letter.topic_id, letter.partition, letter.offset) for letter in letters),
            ),
        )
