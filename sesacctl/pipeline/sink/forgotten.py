"""Users who were forgotten: what comes of them, now or again, is stored without anything personal.

The list is in `forgotten_users`. What adds to it locks `sink_offsets` as a whole, which every step of a sink uses from
its fence to its COMMIT: a step has stored its rows before the list grows, or has read the longer list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sesacctl.events import Order, OrderEvent, Reason, Row, User, UserEvent, encode
from sesacctl.formats import Headers
from sesacctl.pipeline.sink.batch import Entry, Refusal
from sesacctl.pipeline.sink.record_like import RecordLike
from sesacctl.pipeline.sink.sqlstates import Failure

if TYPE_CHECKING:
    from psycopg2 import extensions

TABLE = "forgotten_users"
VERSION = f"(SELECT max(id) FROM {TABLE})"
"""A subquery that changes whenever the list does."""

ANONYMOUS = "(forgotten)"
"""The name of a user who was forgotten."""
NO_TIME = datetime.fromtimestamp(0, UTC)
"""When that user's row was made, from then on."""
ERASED = "erased by db forget"
"""The detail of a dead letter without its bytes."""

Forgotten = Mapping[str, bool]
"""By user id: whether the user's rows were removed, too, so that records are passed over."""

_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class RedactedRecord:
    """A record without anything personal; without key and value if it could not be read."""

    offset: int
    timestamp: int
    key: bytes | None = None
    value: bytes | None = None
    headers: Headers = ()

    @property
    def is_erased(self) -> bool:
        """Whether nothing is left of it."""
        return self.value is None


def read(cursor: extensions.cursor, ids: Collection[str] | None = None) -> dict[str, bool]:
    """Those of these ids that were forgotten, or all of them."""
    some = ("", ()) if ids is None else (" WHERE user_id = ANY(%s)", (list(ids),))
    cursor.execute(f"SELECT user_id, removed FROM {TABLE}{some[0]}", some[1])
    return dict(cursor.fetchall())


class ForgottenUsers:
    """The list as one sink knows it: read again only when its version is another."""

    def __init__(self) -> None:
        self.by_id: Forgotten = {}
        self._version: int | None = None

    def update(self, cursor: extensions.cursor, version: int | None) -> None:
        """Bring the list up to `version`, in the transaction that has read that."""
        if version != self._version:
            self.by_id = read(cursor)
            self._version = version


def redact(
    entries: list[Entry], refusals: Sequence[Refusal], forgotten: Forgotten
) -> tuple[list[Entry], list[Refusal]]:
    """Take what is personal out of rows and records of forgotten users, in place; returns the entries that are left.

    Beside them are those of users who were removed: they count as duplicates.
    """
    if not forgotten:
        return entries, []
    kept: list[Entry] = []
    passed_over: list[Refusal] = []
    for entry in entries:
        removed = forgotten.get(user_of(entry.row) or "")
        if removed:
            passed_over.append(entry.refuse(Failure.DUPLICATE, Reason.CONFLICT, "its user was removed"))
            continue
        if removed is not None:
            anonymise(entry.row)
            entry.record = redacted(entry.record, entry.row)
        kept.append(entry)
    for refusal in refusals:
        if mentions(refusal.record.key, refusal.record.value, forgotten):
            refusal.record, refusal.detail = redacted(refusal.record), ERASED
    return kept, passed_over


def user_of(row: Row) -> str | None:
    """The user that a row is about."""
    return row.user_id if isinstance(row, Order | User) else None


def anonymise(row: Row) -> None:
    """Take out, in place, what a row holds of its user: all but the id."""
    if isinstance(row, Order):
        row.user_region = row.user_gender = row.user_age_group = None
    elif isinstance(row, User):
        row.name, row.created_at = ANONYMOUS, NO_TIME
        row.gender = row.age = row.age_group = row.region = row.join_date = None


def redacted(record: RecordLike, row: Row | None = None) -> RedactedRecord:
    """The record of an anonymised row, the same whenever it is read again; without a row, an empty one."""
    if isinstance(row, Order):
        _, key, value = encode(OrderEvent(timestamp=row.created_at or NO_TIME, order=row))
    elif isinstance(row, User):
        _, key, value = encode(UserEvent(timestamp=NO_TIME, user=row))
    else:
        return RedactedRecord(record.offset, record.timestamp)
    return RedactedRecord(record.offset, record.timestamp, key, value)


def mentions(key: bytes | None, value: bytes | None, ids: Collection[str]) -> bool:
    """Whether a record that may not be readable is keyed by one of these ids, or has one as a text of JSON."""
    if key is not None and key.decode(errors="replace") in ids:
        return True
    return value is not None and any(_text(found) in ids for found in _QUOTED.findall(value))


def _text(quoted: bytes) -> str:
    text = quoted.decode(errors="replace")
    if "\\" not in text:
        return text
    try:
        return str(json.loads(f'"{text}"'))
    except ValueError:
        return text
