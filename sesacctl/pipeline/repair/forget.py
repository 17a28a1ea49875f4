"""Forgetting one user: what is personal leaves PostgreSQL and the cache, and does not come back from Kafka."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

from sesacctl.broker import topics
from sesacctl.cache.client import connect as connect_redis
from sesacctl.cache.snapshot import is_cached, take_out
from sesacctl.database import row_security
from sesacctl.database.connections import transaction
from sesacctl.database.cursors import fetch_row
from sesacctl.errors import SesacctlError, UserMissing
from sesacctl.events import ORDERS
from sesacctl.pipeline.audit.copies import KafkaCopies, find_copies
from sesacctl.pipeline.repair import counted, erasure
from sesacctl.pipeline.sink import forgotten
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions

REASON = "db forget"
_NOTES = (
    "The user id stays, as the key of the orders: who knows whose it is still knows whose they are.",
    "Consumed again, records of this user are stored without anything personal.",
    "Not reached: backups and dumps, exported dead letters, logs, standby servers until they follow, old versions of"
    " rows until VACUUM; records of producers that put keys into other partitions than Kafka's clients do; the cache"
    " until its next refresh, should PostgreSQL have ended a refresh's session in the middle of its round.",
)
OnRead = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What was erased of one user or, in a dry run, would be; and where something of them still is.

    `at` is PostgreSQL's time, `forgotten_at` when it was first done. `user_row`, `parked` and `dead_letters` are rows
    that were overwritten; of `orders`, those in `orders_erased` held something personal. `cached`: the user was in the
    cache. `kafka` are the records with the user's key that are still there, None if Kafka was not read. `notes` say
    what stays, and what was not reached.
    """

    user_id: str
    dry_run: bool
    at: datetime
    forgotten_at: datetime | None
    user_row: int
    orders: int
    orders_erased: int
    parked: int
    dead_letters: int
    cached: bool
    notes: list[str]
    kafka: list[KafkaCopies] | None = None


def look(settings: Settings, user_id: str) -> Certificate:
    """What forgetting would erase, as a dry run; changes and locks nothing.

    Raises:
        UserMissing: there is nothing of this user in PostgreSQL.
        TopicMissing: one of the topics does not exist.
        ServerUnreachable: a server cannot be reached.
        ServerRefused: a server refused: wrong credentials or a missing right.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    topics.require(settings)  # so that nothing is erased of which Kafka's part cannot be told
    with closing(connect_redis(settings)) as redis:
        cached = is_cached(redis, "users", user_id)
    with transaction(settings, command="db-forget", bound=counted.BOUND) as cursor:
        row_security.require_all(cursor)
        found = _count(cursor, user_id)
    return replace(found, cached=cached)


def forget(settings: Settings, user_id: str) -> Certificate:
    """Erase what is personal in one transaction, and take the user out of the cache before it is committed.

    Raises:
        UserMissing: there is nothing of this user in PostgreSQL.
        CheckFailed: a column or a constraint of somebody else's stands in the way, or writers did not let go in time.
        ServerUnreachable: a server cannot be reached; nothing was erased, unless PostgreSQL was lost during the commit.
        ServerRefused: a server refused: wrong credentials or a missing right; nothing was erased.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs; nothing was erased.
    """
    try:
        return _forget(settings, user_id)
    except UserMissing:
        raise
    except SesacctlError as error:
        again = f"sesacctl db forget {user_id}"
        if again not in (error.hint or ""):
            error.hint = f"{error.hint}; then {again}" if error.hint else again
        raise


def _forget(settings: Settings, user_id: str) -> Certificate:
    with (
        closing(connect_redis(settings)) as redis,
        transaction(settings, command="db-forget", bound=counted.BOUND) as cursor,
        counted.explained("the user's rows"),
    ):
        row_security.require_all(cursor)
        counted.lock_out_writers(cursor)
        found = _count(cursor, user_id)
        erasure.register(cursor, user_id, reason=REASON)
        done = erase(cursor, settings, found)
        cached = is_cached(redis, "users", user_id)
        take_out(redis, "users", user_id)
        cursor.connection.commit()
    return replace(done, cached=cached, dry_run=False)


def erase(cursor: extensions.cursor, settings: Settings, found: Certificate) -> Certificate:
    """Erase a registered user's rows in the caller's transaction."""
    return replace(
        found,
        user_row=erasure.anonymise_user(cursor, found.user_id),
        orders_erased=erasure.anonymise_orders(cursor, found.user_id),
        parked=erasure.redact_parked(cursor, settings, found.user_id),
        dead_letters=erasure.erase_letters(cursor, found.user_id),
    )


def with_copies(settings: Settings, done: Certificate, *, on_read: OnRead = lambda _done, _all: None) -> Certificate:
    """The certificate with what Kafka still has; errors as `find_copies`."""
    return replace(done, kafka=find_copies(settings, done.user_id, on_read=on_read))


def _count(cursor: extensions.cursor, user_id: str) -> Certificate:
    held = " OR ".join(f"{column} IS NOT NULL" for column in erasure.PERSONAL)
    cursor.execute(
        f"SELECT now(), (SELECT at FROM {forgotten.TABLE} WHERE user_id = %(id)s),"
        " (SELECT count(*) FROM users WHERE user_id = %(id)s), count(*),"
        f" count(*) FILTER (WHERE {held}) FROM {ORDERS} WHERE user_id = %(id)s",
        {"id": user_id},
    )
    at, forgotten_at, users, orders, personal = fetch_row(cursor)
    condition, values = erasure.mentioning(user_id)
    kept = []
    for table in ("parked_events", "dead_letters"):
        cursor.execute(f"SELECT count(*) FROM {table} WHERE {condition}", values)
        kept.append(int(fetch_row(cursor)[0]))
    if not (forgotten_at or users or orders or any(kept)):
        raise UserMissing(f"There is nothing of user {user_id!r} in PostgreSQL")
    return Certificate(
        user_id=user_id,
        dry_run=True,
        at=at,
        forgotten_at=forgotten_at,
        user_row=users,
        orders=orders,
        orders_erased=personal,
        parked=kept[0],
        dead_letters=kept[1],
        cached=False,
        notes=_notes(cursor),
    )


def _notes(cursor: extensions.cursor) -> list[str]:
    """What it does not reach; tables of the user's own among it."""
    cursor.execute(
        "SELECT DISTINCT conrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"
        f" AND confrelid = 'users'::regclass AND conrelid <> '{ORDERS}'::regclass AND conparentid = 0 ORDER BY 1"
    )
    others = ", ".join(row[0] for row in cursor.fetchall())
    return [*_NOTES, f"Not looked at, though they refer to users: {others}."] if others else list(_NOTES)
