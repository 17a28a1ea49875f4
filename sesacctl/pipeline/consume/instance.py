"""One consumer instance: polls Kafka, hands batches to the sink, and starts every step from PostgreSQL's offsets."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from threading import Event

import psycopg2

from sesacctl.broker.addresses import missed
from sesacctl.errors import ServerUnreachable, SesacctlError
from sesacctl.events import PRODUCTS, USERS
from sesacctl.pipeline.consume.budget import Budget
from sesacctl.pipeline.consume.group_member import CLOSE_MS, GroupMember
from sesacctl.pipeline.consume.ownership import Ownership, Records
from sesacctl.pipeline.consume.parked import parents_without_lag, retry_parked
from sesacctl.pipeline.consume.postgres_link import PostgresLink
from sesacctl.pipeline.consume.status import Status, Timer, max_rss_bytes
from sesacctl.pipeline.consume.step_size import StepSize
from sesacctl.pipeline.latency import Latency
from sesacctl.pipeline.sink.batch import Batch, Counts, Key, truncate
from sesacctl.pipeline.sink.log_cuts import CutFound, stops
from sesacctl.pipeline.sink.store import Fenced, Sink
from sesacctl.settings import Settings

log = logging.getLogger(__name__)

POLL_MS = 500
AWAY_SECONDS = 30.0
"""Without PostgreSQL for so long, an instance leaves its partitions to others, which may have a connection."""
LOST_SECONDS = 3.0  # a broker that comes back sooner is not worth a word


class Instance:
    """A member of the consumer group.

    Whatever goes wrong in a step, the answer is the same: drop what was polled, and seek to PostgreSQL's offsets.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        kinds: tuple[str, ...],
        number: int,
        member_id: str,
        report: Callable[[Status], None],
        budget: Budget | None = None,
        park_seconds: float,
        accept_gap: bool = False,
        checkpoint: Callable[[str], None] = lambda label: None,
    ) -> None:
        """`checkpoint` is called with a label between the parts of a step, for fault tests."""
        self._settings = settings
        self._kinds = {settings.topic(kind): kind for kind in kinds}
        self._parents = [settings.topic(kind) for kind in (USERS, PRODUCTS)]
        self._report = report
        self._budget = budget
        self._park_seconds = park_seconds
        self._checkpoint = checkpoint
        self._status = Status(number, pid=os.getpid())
        self._postgres = PostgresLink(settings, checkpoint)
        self._member = GroupMember(settings, self._kinds, member_id=member_id, accept_gap=accept_gap)
        self._step_size = StepSize()
        self._reporting, self._parked = Timer(1.0), Timer(1.0)
        self._comparing, self._telling = Timer(5.0), Timer(1.0)
        self._connected_at = time.monotonic()  # to Kafka

    def run(self, stop: Event) -> None:
        """Consume until `stop` is set; what was polled by then is stored.

        Raises:
            SesacctlError: a person has to do something; offsets and rows are consistent all the same.
        """
        try:
            while not stop.is_set():
                if self._member.consumer is None:
                    self._join(stop)
                elif self._is_away():
                    self._leave(stop)
                else:
                    self.run_once()
            self._drain()
        finally:
            self._postgres.close()
            self._send_status()
            self._member.close()

    def _drain(self) -> None:
        self._status.state = "draining"
        if self._member.ownership is not None:
            self._last_try()
            self._ownership.tell_kafka(wait_ms=CLOSE_MS)

    def _join(self, stop: Event) -> None:
        try:
            self._member.join()
            self._connected_at = time.monotonic()
        except ServerUnreachable as error:
            self._status.wait_for("Kafka", str(error))
            self._send_status()
            stop.wait(1.0)

    def _is_away(self) -> bool:
        """Whether PostgreSQL has been out of reach for so long that others are to have the partitions."""
        since = self._postgres.away_since
        return since is not None and time.monotonic() - since > AWAY_SECONDS

    def _leave(self, stop: Event) -> None:
        """Give the partitions to members that have a connection, and return when there is one here, too."""
        log.warning("no connection to PostgreSQL: leaving the group", extra={"action": "consume.away"})
        self._member.leave()
        self._status.partitions, self._status.lag = [], 0
        while not stop.is_set() and not self._reconnect():
            if self._reporting.due():
                self._send_status()
            stop.wait(0.1)

    @property
    def _ownership(self) -> Ownership:
        assert self._member.ownership is not None, "not in the group"
        return self._member.ownership

    def run_once(self) -> int:
        """Poll once and store what came; gives the number of records stored or accounted for."""
        if self._reporting.due():
            self._status.lag = self._ownership.lag
            self._send_status()
        if self._postgres.sink is None:
            if not self._reconnect():
                self._ownership.poll_paused(timeout_ms=100)
                return 0
            self._ownership.invalidate()
        sink = self._postgres.sink
        assert sink is not None
        try:
            records = self._ownership.poll(sink, timeout_ms=POLL_MS)
            self._watch_kafka()
            if self._ownership.stale():
                self._ownership.take_over(sink)
                self._status.partitions = self._ownership.names
            else:
                stored = self._step(sink, records) if records else 0
                self._look_around(sink, idle=not records)
                return stored
        except CutFound as found:
            self._stop_for_cut(sink, found)
        except Fenced as error:
            log.info("%s; reading again", error, extra={"action": "consume.fenced"})
            self._ownership.invalidate()
        except psycopg2.Error as error:
            self._handle_database_error(error)
        return 0

    def _stop_for_cut(self, sink: Sink, found: CutFound) -> None:
        """The verdict is kept first: it must outlive this process, and a log that grows again.

        Raises:
            LogCut
        """
        try:
            sink.record_cut(found.topic, found.key, found.cut)
        except psycopg2.Error as error:
            self._handle_database_error(error)  # it will be found again
        else:
            raise stops(found.topic, found.key[1], found.cut)

    def _step(self, sink: Sink, records: Records) -> int:
        self._checkpoint("after poll")
        polled = self._ownership.batches(records)
        batches = self._within_budget(self._step_size.truncated(polled))
        if batches is not polled:
            self._ownership.invalidate()  # what is left out is read again
        granted = sum(len(batch.records) for batch in batches)
        if not granted:
            return 0
        try:
            counts = sink.store(batches)
        except BaseException as error:
            if self._budget is not None:
                self._budget.in_doubt()
            if not self._step_size.halved(error, batches, self._postgres.connection):
                raise
            self._ownership.invalidate()
            return 0
        self._step_size.fitted(batches)
        now_ms = time.time() * 1000
        for batch in batches:
            self._status.latency.observe(now_ms, [record.timestamp for record in batch.records])
        self._stored(batches, counts)
        return granted

    def _within_budget(self, batches: Sequence[Batch]) -> Sequence[Batch]:
        """The batches with what may still be stored; the same ones if that is all."""
        polled = sum(len(batch.records) for batch in batches)
        if self._budget is None or polled == 0:
            return batches
        granted = self._budget.take(polled)
        return batches if granted >= polled else truncate(batches, granted)

    def _stored(self, batches: Sequence[Batch], counts: Mapping[Key, Counts]) -> None:
        self._postgres.note_stored()
        for found in counts.values():
            self._status.counts.add(found)
        self._ownership.moved(batches)

    def _look_around(self, sink: Sink, *, idle: bool) -> None:
        """What is due between two steps, under load as well as without."""
        if self._telling.due():  # not in each step: a commit costs the brokers as much as the events themselves
            self._checkpoint("before offset commit")
            self._ownership.tell_kafka()
            self._checkpoint("after offset commit")
        if self._parked.due():
            self._retry_parked(sink)
        if self._comparing.due():
            self._compare(sink)
        elif idle and (passed := self._ownership.control_batches()):
            self._stored(passed, sink.store(passed))

    def _compare(self, sink: Sink) -> None:
        self._ownership.require_whole_logs()
        for key, mark in self._ownership.baselines():
            sink.keep_mark(key, mark)
        if not self._ownership.agrees(sink):
            log.warning("PostgreSQL's offsets were changed; reading from there", extra={"action": "consume.seek"})
            self._ownership.invalidate()

    def _retry_parked(self, sink: Sink) -> None:
        counts = retry_parked(
            self._postgres.connection,
            group=self._settings.kafka_group,
            kinds=self._kinds,
            partitions=self._ownership.partitions,
            beyond=self._ownership.beyond,
            park_seconds=self._park_seconds,
            parents_without_lag=lambda: parents_without_lag(self._member.consumer, sink, self._parents),
            zone=self._settings.event_timezone,
        )
        self._status.counts.add(counts)

    def _last_try(self) -> None:
        """Parked rows once more before the end; if PostgreSQL is away now, they stay parked."""
        try:
            if self._postgres.sink is not None:
                self._retry_parked(self._postgres.sink)
        except psycopg2.Error as error:
            log.debug("parked rows: %s", error, extra={"action": "consume.parked"})

    def _reconnect(self) -> bool:
        try:
            if not self._postgres.reconnect():
                return False
        except SesacctlError as error:
            if not error.retriable:
                raise
            self._status.wait_for("PostgreSQL", str(error))
            return False
        self._status.resume()
        return True

    def _handle_database_error(self, error: psycopg2.Error) -> None:
        self._status.wait_for("PostgreSQL", self._postgres.give_up(error))

    def _watch_kafka(self) -> None:
        if self._ownership.connected:
            self._connected_at = time.monotonic()
            self._status.resume()
        elif time.monotonic() - self._connected_at > LOST_SECONDS:
            advertised = missed.explain(self._settings)
            self._status.wait_for("Kafka", f"no broker answers; {advertised}" if advertised else "no broker answers")

    def _send_status(self) -> None:
        self._status.max_rss_bytes = max_rss_bytes()
        self._report(self._status)
        self._status.counts, self._status.latency = Counts(), Latency()
