"""How many records a step may have: all that came, until the server's `statement_timeout` ends one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import psycopg2

from sesacctl.database.cursors import fetch_row
from sesacctl.errors import ServerRefused
from sesacctl.pipeline.consume.budget import Budget
from sesacctl.pipeline.sink.batch import Batch, count_records, truncate

if TYPE_CHECKING:
    from psycopg2 import extensions

logger = logging.getLogger(__name__)

_CANCELLED = "57014"
# One record may have waited for another session's lock: do not give up at once.
_TRIES_ALONE = 3
_GROWTH = 8


class StepSize:
    """Halved at each time-out, and an eighth more after each step that fits, until nothing has to be cut."""

    def __init__(self, budget: Budget | None = None) -> None:
        """`budget`: what may still be stored at all."""
        self._budget = budget
        self._most: int | None = None
        self._alone = 0

    def granted(self, batches: Sequence[Batch]) -> Sequence[Batch]:
        """The batches with as many records as a step may have; the same ones if none are left out."""
        if self._most is not None and count_records(batches) > self._most:
            batches = truncate(batches, self._most)
        polled = count_records(batches)
        if self._budget is None or polled == 0:
            return batches
        granted = self._budget.take(polled)
        return truncate(batches, granted) if granted < polled else batches

    def fitted(self, batches: Sequence[Batch]) -> None:
        """A step with these was stored."""
        self._alone = 0
        if self._most is not None:
            self._most = max(self._most, count_records(batches) + count_records(batches) // _GROWTH + 1)

    def halved(self, error: BaseException, batches: Sequence[Batch], connection: extensions.connection) -> bool:
        """Whether the step, which was rolled back, is to be tried again with half of its records.

        Raises:
            ServerRefused: `statement_timeout` is too short for a single record.
        """
        if self._budget is not None:
            self._budget.in_doubt()
        if not isinstance(error, psycopg2.Error) or error.pgcode != _CANCELLED:
            return False
        if (limit := _statement_timeout(connection)) is None:
            return False
        records = count_records(batches)
        self._alone += records <= 1
        if self._alone >= _TRIES_ALONE:
            raise ServerRefused(
                f"PostgreSQL's statement_timeout of {limit} is too short to store even one event",
                hint="ALTER ROLE … SET statement_timeout = '30s' for POSTGRES_USER, then sesacctl consume;"
                " if another session holds its locks, end that first",
            ) from error
        self._most = max(1, records // 2)
        logger.warning(
            "statement_timeout (%s) ended a step of %d records: the next has at most %d",
            limit,
            records,
            self._most,
            extra={"action": "consume.halved"},
        )
        return True


def _statement_timeout(connection: extensions.connection) -> str | None:
    """As the server writes it; None if it is off, so that somebody else has cancelled the statement."""
    if connection.closed:
        return None
    with connection, connection.cursor() as cursor:
        cursor.execute("SHOW statement_timeout")
        limit = str(fetch_row(cursor)[0])
    return None if limit == "0" else limit
