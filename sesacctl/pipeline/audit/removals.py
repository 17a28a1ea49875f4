"""Rows that are lawfully not as their events in Kafka: orders pruned by age, users forgotten or removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sesacctl.database.cursors import fetch_row
from sesacctl.events import Order, Row, uuid7_time
from sesacctl.pipeline.sink import forgotten
from sesacctl.pipeline.sink.forgotten import Forgotten, user_of

if TYPE_CHECKING:
    from psycopg2 import extensions

PRUNED = "pruned"
REMOVED = "removed user"
"""Reasons in `row_changes`: for orders that were pruned by age, and for rows of a user who was removed."""
_CLOCKS = timedelta(hours=1)  # between an order's id and its time


@dataclass(frozen=True, slots=True, kw_only=True)
class Removals:
    """`pruned` orders, all made before `pruned_before`; `removed` rows, of users who were removed.

    `users` are those, and those who were forgotten; `erased` is the number of dead letters without their bytes.
    """

    pruned: int
    pruned_before: datetime | None
    removed: int
    users: Forgotten
    erased: int

    @property
    def forgotten(self) -> int:
        """Users whose rows are still there, without anything personal."""
        return sum(not removed for removed in self.users.values())

    def explain(self, event: Row) -> bool:
        """Whether the event's row may lawfully be in no table."""
        if self.users.get(user_of(event) or ""):
            return True
        if self.pruned_before is None or not isinstance(event, Order) or event.created_at is None:
            return False
        return event.created_at < self.pruned_before

    def explain_ids(self, order_ids: Sequence[str], events: int) -> int:
        """Of so many events that are nowhere, how many may have gone lawfully; `order_ids` are those of orders."""
        old = 0 if self.pruned_before is None else sum(_is_older(each, self.pruned_before) for each in order_ids)
        return min(events, min(old, self.pruned) + self.removed + self.erased)


def _is_older(order_id: str, before: datetime) -> bool:
    """By the time that is in a UUIDv7; of another id it cannot be said."""
    at = uuid7_time(order_id)
    return at is None or at < before + _CLOCKS


def read(cursor: extensions.cursor) -> Removals:
    """What was removed by now. Read it after rows were found missing: it tells of all that had gone by then."""
    cursor.execute(
        "SELECT coalesce(-sum(change) FILTER (WHERE reason = %s), 0)::bigint, max(made_before),"
        " coalesce(-sum(change) FILTER (WHERE reason = %s), 0)::bigint,"
        " (SELECT count(*) FROM dead_letters WHERE erased_at IS NOT NULL) FROM row_changes",
        (PRUNED, REMOVED),
    )
    pruned, before, removed, erased = fetch_row(cursor)
    users = forgotten.read(cursor)
    return Removals(pruned=pruned, pruned_before=before, removed=removed, users=users, erased=erased)
