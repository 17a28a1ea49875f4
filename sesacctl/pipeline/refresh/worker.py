"""The cache worker: rows from PostgreSQL into Redis, once or every period."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from time import monotonic
from types import TracebackType
from typing import Self

import psycopg2
from psycopg2.extensions import TRANSACTION_STATUS_INTRANS
from psycopg2.extensions import connection as Connection  # noqa: N812

from sesacctl.cache.client import connect as connect_redis
from sesacctl.cache.rows import FRESH, SIZE, TABLES, Table
from sesacctl.cache.snapshot import adopt_rounds, publish, record_round
from sesacctl.database import row_security
from sesacctl.database.connections import connect, translate_errors
from sesacctl.database.schema import revisions
from sesacctl.errors import CheckFailed, SesacctlError
from sesacctl.heartbeat import Heartbeat
from sesacctl.pipeline.refresh.figures import RefreshFigures, RefreshResult, TableRefresh
from sesacctl.pipeline.refresh.statement import refresh_statement
from sesacctl.settings import Settings

logger = logging.getLogger(__name__)

ROUND_SECONDS = 60.0
"""More than a round can take, with every wait for a server at its limit."""
EMPTY_SECONDS = 5.0
"""Between rounds that found nothing: the first rows are to be in the cache soon."""
_MOST_DOUBLINGS = 10


class _Pick:
    """What the statement returned: the rows to publish, by table and id."""

    def __init__(self, answer: Sequence[tuple[Table, str, str]]) -> None:
        (_, opened, facts), *rows = answer
        self.skipped = opened == "false"
        self.rows: dict[Table, dict[str, str]] = {}
        for table, key, body in rows:
            self.rows.setdefault(table, {})[key] = body
        details = json.loads(facts)
        self.fresh: dict[Table, int] = {table: details[table]["fresh"] for table in self.rows}
        self.stamps = {table: datetime.fromisoformat(details[table]["stamp"]) for table in self.rows}
        self.at = datetime.fromisoformat(details["now"]) if self.rows else None


class Refresher:
    """Keeps one connection to each server; not for several threads at once."""

    def __init__(
        self, settings: Settings, *, size: int = SIZE, fresh: int = FRESH, tables: Sequence[Table] = TABLES
    ) -> None:
        """`size` rows of each table; `fresh` of them (at most `size`) never cached ones, while there are any."""
        self._settings = settings
        self._tables = tuple(tables)
        self._plan = {"size": size, "fresh": fresh}
        self._statement = refresh_statement(tables, size=size, fresh=fresh)
        self._redis = connect_redis(settings)
        self._postgres: Connection | None = None
        self._adopted = False
        self.figures = RefreshFigures()
        self._problem: str | None = "its first round is not done"

    def problem(self) -> str | None:
        """Why the last round of `run` failed; None if it did not. Any thread may ask."""
        return self._problem

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._disconnect()
        self._redis.close()

    def run_once(self, *, period: float = 0.0) -> RefreshResult:
        """One round, in a transaction that ends after the rows are in Redis; readers see the `period`.

        A crash between the two caches the same rows again. In the other order, they would be skipped.

        Raises:
            ServerUnreachable: a server cannot be reached; no stamp was moved, and the cache has rows as before.
            ServerRefused: a server refused: wrong credentials or a missing right; nothing was moved, as above.
            ServerFull: Redis is at its `maxmemory`; nothing was moved, as above.
            DatabaseMissing: the server has no such database.
            SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
            CheckFailed: another session held some of the rows for too long, or was in a deadlock with this one.
        """
        started = monotonic()
        try:
            with translate_errors(self._settings):
                postgres = self._postgres = self._postgres or self._connect()
                with postgres.cursor() as cursor:
                    cursor.execute(self._statement)
                    pick = _Pick(cursor.fetchall())
                    if not pick.skipped and len(pick.rows) < len(self._tables):
                        row_security.require_all(cursor, self._tables, ("SELECT", "UPDATE"))  # a stamp is an UPDATE
                plan = self._plan | {"period": period}
                generation = publish(self._redis, pick.rows, at=pick.at, plan=plan) if pick.at else None
                postgres.commit()
        except BaseException:
            self._disconnect()
            raise
        self._record(pick)
        return self._result(pick, generation, monotonic() - started)

    def run(
        self,
        stop: threading.Event,
        period: float,
        *,
        on_round: Callable[[RefreshResult], None] = lambda _: None,
    ) -> None:
        """A round every `period` seconds until `stop`; once the first has worked, it waits for servers that are away.

        The schedule restarts when they are back.

        Raises:
            SesacctlError: what `run_once` raises: any at the first round, later only what waiting does not fix.
        """
        with Heartbeat(self._settings.sesac_home, "cache-refresh") as heartbeat:
            self._run(stop, period, on_round, heartbeat)

    def _run(
        self, stop: threading.Event, period: float, on_round: Callable[[RefreshResult], None], heartbeat: Heartbeat
    ) -> None:
        due, failures, started = monotonic(), 0, False
        said: str | None = None
        empty = False
        while not stop.is_set():
            heartbeat.beat(period + ROUND_SECONDS)
            began = monotonic()
            try:
                result = self.run_once(period=period)
            except SesacctlError as error:
                if not started or not (error.retriable or isinstance(error, CheckFailed)):
                    raise
                failures += 1
                self._problem = str(error)
                self.figures.rounds["failed"] += 1
                if failures == 1 or error.hint != said:  # it may come back as a standby: something else to wait for
                    said = error.hint
                    logger.warning("%s: the cache keeps its rows", error, extra={"action": "refresh.waiting"})
                stop.wait(min(period, 2.0 ** min(failures - 1, _MOST_DOUBLINGS)))
                continue
            if failures:
                logger.info("working again", extra={"action": "refresh.recovered", "failures": failures})
                due = began
            started, failures, said = True, 0, None
            self._problem = None
            self.figures.note(result)
            if not (empty and result.found_nothing):  # else it was said
                _log(result)
            on_round(result)
            due = began if empty else due
            empty = result.found_nothing
            due = _next_due(due, min(period, EMPTY_SECONDS) if empty else period)
            stop.wait(due - monotonic())

    def _record(self, pick: _Pick) -> None:
        """After the COMMIT: a round that was rolled back would count against the rows that it left waiting."""
        if pick.at is not None:
            try:
                if not self._adopted:
                    adopt_rounds(self._redis)
                    self._adopted = True
                record_round(self._redis, pick.stamps)
            except SesacctlError as error:
                logger.debug("%s", error, extra={"action": "refresh.unrecorded"})

    def _connect(self) -> Connection:
        postgres = connect(self._settings, command="cache-refresh")
        revisions.require_head(postgres)
        postgres.rollback()
        return postgres

    def _disconnect(self) -> None:
        if self._postgres is not None:
            # PostgreSQL notices a closed session a little later: until then, the next round would be skipped.
            if self._postgres.get_transaction_status() == TRANSACTION_STATUS_INTRANS:
                with suppress(psycopg2.Error):
                    self._postgres.rollback()
            self._postgres.close()
            self._postgres = None

    def _result(self, pick: _Pick, generation: int | None, seconds: float) -> RefreshResult:
        counts = {table: (pick.fresh.get(table, 0), len(pick.rows.get(table, ()))) for table in self._tables}
        return RefreshResult(
            skipped=pick.skipped,
            generation=generation,
            at=pick.at,
            seconds=seconds,
            tables=tuple(TableRefresh(table=t, fresh=f, aged=count - f) for t, (f, count) in counts.items()),
        )


def _log(result: RefreshResult) -> None:
    if result.skipped:
        logger.info("another refresh, or a reset, is under way", extra={"action": "refresh.skipped"})
        return
    facts: dict[str, object] = {table.table: table.fresh + table.aged for table in result.tables}
    facts |= {"generation": result.generation, "seconds": round(result.seconds, 3)}
    logger.info("cached", extra={"action": "refresh.done"} | facts)


def _next_due(due: float, period: float) -> float:
    """The next whole period after now, counted from `due`, so that the length of a round adds no drift."""
    missed = int(max(0.0, monotonic() - due) // period)
    if missed:
        logger.warning(
            "a round took longer than the period", extra={"action": "refresh.overrun", "periods_skipped": missed}
        )
    return due + (missed + 1) * period
