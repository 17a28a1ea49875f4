"""Removing a user with all that is of them, as `smoke` does with the one that it has made."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sesacctl.cache.client import connect as connect_redis
from sesacctl.cache.snapshot import take_out
from sesacctl.database import row_security
from sesacctl.database.connections import transaction
from sesacctl.events import ORDERS, USERS
from sesacctl.pipeline.audit.removals import REMOVED
from sesacctl.pipeline.repair import counted, erasure
from sesacctl.pipeline.sink import forgotten, offsets
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions

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
        transaction(settings, command="remove-user", bound=counted.BOUND) as cursor,
        counted.explained("the user's rows"),
    ):
        row_security.require_all(cursor)
        counted.lock_out_writers(cursor)
        erasure.register(cursor, user_id, reason=reason, removed=True)
        _drop_old(cursor)
        orders = counted.delete_rows(cursor, ORDERS, order_ids, reason=REMOVED)
        parked = counted.delete_parked(cursor, user_id)
        letters = erasure.erase_letters(cursor, user_id)
        take_out(redis, "users", user_id)
        cursor.connection.commit()
        cursor.execute(offsets.LIMITS)
        users = counted.delete_rows(cursor, USERS, [user_id], reason=REMOVED)
        cursor.connection.commit()
    return Removed(user_id=user_id, orders=orders, users=users, parked=parked, letters=letters)


def _drop_old(cursor: extensions.cursor) -> None:
    """Users who were removed long ago: the list is in the memory of each consumer."""
    cursor.execute(
        f"DELETE FROM {forgotten.TABLE} WHERE removed AND at < now() - make_interval(days => %s)", (_KEPT_DAYS,)
    )
