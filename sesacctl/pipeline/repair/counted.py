"""Rows that leave lawfully, counted: the one door of `db prune`, `db forget`, `db restore` and `remove_user`.

What is deleted is written down in `row_changes` by the transaction that deletes it, so that an audit holds at any
moment.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING

from psycopg2 import IntegrityError

from sesacctl.errors import CheckFailed
from sesacctl.events import CODECS, ORDERS, USERS, Kind
from sesacctl.pipeline.audit.removals import REMOVED
from sesacctl.pipeline.refresh.statement import GATE
from sesacctl.pipeline.repair import erasure
from sesacctl.pipeline.sink import offsets
from sesacctl.pipeline.sink.counts import Counts, PartitionKey

if TYPE_CHECKING:
    from psycopg2 import extensions

BOUND = 600.0  # `orders` has no index by user: it is read as a whole


def delete_user(cursor: extensions.cursor, user_id: str) -> None:
    """Delete a registered user with all that is of them, however many orders there are; in the caller's transaction."""
    delete_parked(cursor, user_id)
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


def delete_parked(cursor: extensions.cursor, user_id: str) -> int:
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
