"""Keeping orders for a while only: the older ones are deleted in batches, counted, so that an audit stays clean."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sesacctl.database import row_security
from sesacctl.database.connections import transaction
from sesacctl.database.cursors import fetch_row
from sesacctl.errors import CheckFailed
from sesacctl.events import ORDERS
from sesacctl.pipeline.audit.removals import PRUNED
from sesacctl.pipeline.repair.counted import BOUND, explained, write_down
from sesacctl.pipeline.sink.offsets import LIMITS
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions

BATCH = 5_000
_ONE_AT_A_TIME = 0x5E5AC_DE1
# By key and not by time: what batches before have deleted is not passed over again.
_BATCH = f"""
    WITH old AS MATERIALIZED (
        SELECT order_id FROM {ORDERS} WHERE order_id > %(after)s AND created_at < %(before)s
        ORDER BY order_id LIMIT %(most)s),
    gone AS (
        DELETE FROM {ORDERS} WHERE order_id = ANY (ARRAY(SELECT order_id FROM old)) AND created_at < %(before)s
        RETURNING 1)
    SELECT max(order_id), count(*), (SELECT count(*) FROM gone) FROM old"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """`orders` made before `made_before` were deleted, or would be; `stopped`: there may be more."""

    dry_run: bool
    made_before: datetime
    orders: int
    stopped: bool = False


def look(settings: Settings, seconds: float) -> Pruned:
    """How many orders are older than so many seconds, by PostgreSQL's clock; errors as `prune`."""
    with transaction(settings, command="db-prune", bound=BOUND) as cursor:
        row_security.require_visible(cursor, (ORDERS,))
        cursor.execute("SELECT now() - make_interval(secs => %s)", (seconds,))
        before = fetch_row(cursor)[0]
        cursor.execute(f"SELECT count(*) FROM {ORDERS} WHERE created_at < %s", (before,))
        return Pruned(dry_run=True, made_before=before, orders=fetch_row(cursor)[0])


def prune(
    settings: Settings,
    before: datetime,
    *,
    batch: int = BATCH,
    stop: threading.Event | None = None,
    on_batch: Callable[[int], None] = lambda _orders: None,
) -> Pruned:
    """Delete the orders made before a time, in transactions of `batch` orders; `stop` ends it between two of them.

    Each one writes down in `row_changes` what it deletes. `on_batch` gets the number of orders of each.

    Raises:
        CheckFailed: something of the user's own keeps orders, or other sessions held them for too long.
        ServerUnreachable: PostgreSQL cannot be reached; batches that were done before stay done.
        ServerRefused: wrong credentials or a missing right; batches that were done before stay done.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    total, after = 0, ""
    with transaction(settings, command="db-prune", bound=BOUND) as cursor, explained(ORDERS):
        row_security.require_all(cursor, (ORDERS, "row_changes"))
        cursor.connection.commit()
        while not (stop and stop.is_set()):
            cursor.execute(f"{LIMITS}; SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})")
            cursor.execute(_BATCH, {"after": after, "before": before, "most": batch})
            last, found, deleted = fetch_row(cursor)
            if last is None:
                return Pruned(dry_run=False, made_before=before, orders=total)
            _require_gone(cursor, after, last, before, found - deleted)
            write_down(cursor, ORDERS, deleted, reason=PRUNED, made_before=before)
            cursor.connection.commit()
            total, after = total + deleted, last
            on_batch(deleted)
    return Pruned(dry_run=False, made_before=before, orders=total, stopped=True)


def _require_gone(cursor: extensions.cursor, after: str, last: str, before: datetime, missed: int) -> None:
    """Return only if what a batch did not delete was deleted by somebody else meanwhile."""
    if missed <= 0:
        return
    cursor.execute(
        f"SELECT count(*) FROM {ORDERS} WHERE order_id > %s AND order_id <= %s AND created_at < %s",
        (after, last, before),
    )
    if kept := fetch_row(cursor)[0]:
        raise CheckFailed(
            f"{ORDERS}: PostgreSQL kept {kept} of the rows that were to be deleted, and raised nothing",
            hint=f"drop the trigger or the rule that keeps rows of {ORDERS}; then the same command again",
        )
