"""Rows that leave lawfully, counted: the one door of `db prune`, `db forget` and `smoke`.

What is deleted is written down in `row_changes` by the transaction that deletes it, so that an audit holds at any
moment; whose records in Kafka are not to bring anything back is in `forgotten_users`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from psycopg2 import IntegrityError

from sesacctl.cache.client import connect as connect_redis
from sesacctl.cache.snapshot import take_out
from sesacctl.database import row_security
from sesacctl.database.connections import transaction
from sesacctl.errors import CheckFailed
from sesacctl.events import CODECS, ORDERS, USERS, Kind
from sesacctl.pipeline.audit.removals import REMOVED
from sesacctl.pipeline.refresh.statement import GATE
from sesacctl.pipeline.repair import erasure
from sesacctl.pipeline.sink import forgotten, offsets
from sesacctl.pipeline.sink.counts import Counts, PartitionKey
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions

BOUND = 600.0  # `orders` has no index by user: it is read as a whole
_KEPT_DAYS = 60
"""Longer than the topics keep records: after that, none of a removed user can come again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What was deleted of one user; of `letters` the bytes alone."""

    user_id: str
    orders: int
    users: int
    parked: int
    letters: int


def remove_user(settings: Settings, user_id: str, order_ids: Sequence[str] = (), *, reason: str) -> Removed:
    """Delete a user and their orders; what comes of them later is passed over, and counts as duplicates.

    `order_ids` are the user's orders, stored or not. Two transactions: running consumers wait only for the first, which
    is short; for the second PostgreSQL looks through all orders. A user who is not there is no error, so that this can
    be done again when it has failed half-way.

    Raises:
        CheckFailed: the user has other orders, or something else refers to the rows; the user's row is still there.
        ServerUnreachable: a server cannot be reached.
        ServerRefused: a server refused: wrong credentials or a missing right.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    with (
        closing(connect_redis(settings)) as redis,
        transaction(settings, command="remove-user", bound=BOUND) as cursor,
        explained("the user's rows"),
    ):
        row_security.require_all(cursor)
        lock_out_writers(cursor)
        erasure.register(cursor, user_id, reason=reason, removed=True)
        _drop_old(cursor)
        orders = delete_rows(cursor, ORDERS, order_ids, reason=REMOVED)
        parked = _delete_parked(cursor, user_id)
        letters = erasure.erase_letters(cursor, user_id)
        take_out(redis, "users", user_id)
        cursor.connection.commit()
        cursor.execute(offsets.LIMITS)
        users = delete_rows(cursor, USERS, [user_id], reason=REMOVED)
        cursor.connection.commit()
    return Removed(user_id=user_id, orders=orders, users=users, parked=parked, letters=letters)


def delete_user(cursor: extensions.cursor, user_id: str) -> None:
    """Delete a registered user with all that is of them, however many orders there are; in the caller's transaction."""
    _delete_parked(cursor, user_id)
    cursor.execute(f"DELETE FROM {ORDERS} WHERE user_id = %s", (user_id,))
    write_down(cursor, ORDERS, int(cursor.rowcount), reason=REMOVED)
    delete_rows(cursor, USERS, [user_id], reason=REMOVED)


def lock_out_writers(cursor: extensions.cursor) -> None:
    """Wait until no refresh of the cache and no step of a consumer is under way, and keep others from beginning.

    A refresh holds its gate until its rows are in Redis: none can bring back what is taken out of the cache after this.
    """
    cursor.execute(f"{offsets.LIMITS}; SELECT pg_advisory_xact_lock({GATE})")
    offsets.lock_all(cursor)


def delete_rows(cursor: extensions.cursor, kind: Kind, ids: Collection[str], *, reason: str) -> int:
    """Delete rows by their ids, and write down how many; returns it."""
    cursor.execute(f"DELETE FROM {kind} WHERE {CODECS[kind].id_column} = ANY(%s)", (list(ids),))
    deleted = int(cursor.rowcount)
    write_down(cursor, kind, deleted, reason=reason)
    return deleted


def write_down(
    cursor: extensions.cursor, kind: Kind, deleted: int, *, reason: str, made_before: datetime | None = None
) -> None:
    """Take deleted rows out of what an audit expects; of the transaction that deletes them."""
    if deleted:
        cursor.execute(
            "INSERT INTO row_changes (table_name, change, reason, made_before) VALUES (%s, %s, %s, %s)",
            (kind, -deleted, reason, made_before),
        )


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Raise what constraints and triggers of the user's own refuse as CheckFailed."""
    try:
        yield
    except IntegrityError as error:
        said = str(error).strip().splitlines()[0]
        raise CheckFailed(
            f"PostgreSQL refused to change {what}: {said}",
            hint="change what refers to them, or drop the constraint; then the same command again",
        ) from error


def _delete_parked(cursor: extensions.cursor, user_id: str) -> int:
    """Delete a user's parked events: they count as duplicates, as what comes later does."""
    rows = erasure.find_kept(cursor, "parked_events", user_id)
    changes: defaultdict[str, defaultdict[PartitionKey, Counts]] = defaultdict(lambda: defaultdict(Counts))
    for row in rows:
        if row.counted:
            changes[row.group][row.topic_id, row.partition].move("parked", "duplicates")
    for group, counts in changes.items():
        offsets.adjust_counters(cursor, group, counts)
    cursor.execute("DELETE FROM parked_events WHERE id = ANY(%s)", ([row.id for row in rows],))
    return len(rows)


def _drop_old(cursor: extensions.cursor) -> None:
    """Users who were removed long ago: the list is in the memory of each consumer."""
    cursor.execute(
        f"DELETE FROM {forgotten.TABLE} WHERE removed AND at < now() - make_interval(days => %s)", (_KEPT_DAYS,)
    )
