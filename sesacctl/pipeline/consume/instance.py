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
from sesacctl.events import Kind
from sesacctl.pipeline.consume.activity import Activity
from sesacctl.pipeline.consume.ahead import Ahead
from sesacctl.pipeline.consume.budget import Budget
from sesacctl.pipeline.consume.chores import Chores
from sesacctl.pipeline.consume.group_member import CLOSE_MS, GroupMember
from sesacctl.pipeline.consume.postgres_link import PostgresLink
from sesacctl.pipeline.consume.reader import Polled
from sesacctl.pipeline.consume.seek import seek_to_stored
from sesacctl.pipeline.consume.status import Status, Timer, max_rss_bytes
from sesacctl.pipeline.consume.step_size import StepSize
from sesacctl.pipeline.latency import Latency
from sesacctl.pipeline.sink.batch import Batch, count_records
from sesacctl.pipeline.sink.counts import Counts, PartitionKey
from sesacctl.pipeline.sink.log_cuts import CutFound, stops
from sesacctl.pipeline.sink.measures import Measures
from sesacctl.pipeline.sink.sqlstates import retry_class
from sesacctl.pipeline.sink.store import Fenced, Sink
from sesacctl.settings import Settings

logger = logging.getLogger(__name__)

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
        kinds: tuple[Kind, ...],
        number: int,
        member_id: str,
        report: Callable[[Status], None],
        budget: Budget | None = None,
        park_seconds: float,
        accept_gap: bool = False,
        reads_ahead: bool = True,
        checkpoint: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`reads_ahead`: poll and decode in a thread while PostgreSQL checks rows, for a sixth more processor time.

        `checkpoint` is called with a label between the parts of a step, for fault tests.
        """
        self._settings = settings
        self._kind_of = {settings.topic(kind): kind for kind in kinds}
        self._report = report
        self._checkpoint = checkpoint
        self._status = Status(number, pid=os.getpid())
        self._measures = Measures()
        self._generation = -1
        self._postgres = PostgresLink(settings, self._measures, checkpoint)
        self._member = GroupMember(settings, self._kind_of, member_id=member_id, accept_gap=accept_gap)
        self._step_size = StepSize(budget)
        self._ahead = Ahead(self._kind_of, settings.event_timezone, enabled=reads_ahead)
        self._chores = Chores(
            settings, self._kind_of, self._status, self._measures, park_seconds=park_seconds, checkpoint=checkpoint
        )
        self._reporting = Timer(1.0)
        self._connected_at = time.monotonic()  # to Kafka

    def run(self, stop: Event) -> None:
        """Consume until `stop` is set; the step that is under way by then is stored.

        Raises:
            SesacctlError: a person has to do something; offsets and rows are consistent all the same.
        """
        try:
            while not stop.is_set():
                if not self._member.joined:
                    self._join(stop)
                elif self._is_away():
                    self._leave(stop)
                else:
                    self.run_once()
            self._drain()
        finally:
            self._ahead.close()
            self._postgres.close()
            self._send_status()
            self._member.close()

    def _drain(self) -> None:
        self._status.state = "draining"
        if self._member.joined:
            reader, assignment = self._member.place
            if self._postgres.sink is not None:
                self._chores.try_parked_once_more(self._postgres.sink, reader, assignment)
            self._look_at_lag()  # the last one shown is that of the end
            reader.commit_to_kafka(assignment.take_uncommitted(), wait_ms=CLOSE_MS)

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
        logger.warning("no connection to PostgreSQL: leaving the group", extra={"action": "consume.away"})
        self._member.leave()
        self._status.partitions, self._status.lag = [], 0
        while not stop.is_set() and not self._reconnect():
            if self._reporting.due():
                self._send_status()
            stop.wait(0.1)

    def run_once(self) -> int:
        """Poll once and store what came; returns the number of records stored or accounted for.

        Here, what Kafka has meets what PostgreSQL has.
        """
        reader, assignment = self._member.place
        self._report_when_due()
        if (sink := self._connected_sink()) is None:
            return 0
        self._watch_kafka()
        try:
            polled = self._ahead.take() or reader.poll(timeout_ms=POLL_MS)
            for expired in assignment.expired(polled):
                sink.skip_expired(expired)
            if assignment.changed(polled.membership):
                self._seek_to_stored(sink)  # what was polled is dropped: it comes again
                return 0
            batches = self._within_limits(assignment.batches(polled))
            stored = self._store(sink, batches, polled.at)
            assignment.advance(stored)
            if self._ahead.membership_after(polled) == polled.membership:
                self._chores.run(sink, reader, assignment)
            self._store_control(sink, polled)
            return count_records(stored)
        except CutFound as found:
            self._stop_for_cut(sink, found)
        except Fenced as error:
            self._status.activity.fences += 1
            logger.info("%s; reading again", error, extra={"action": "consume.fenced"})
            assignment.mark_changed()
        except psycopg2.Error as error:
            self._handle_database_error(error)
        return 0

    def _report_when_due(self) -> None:
        if self._reporting.due():
            self._look_at_lag()
            self._send_status()

    def _look_at_lag(self) -> None:
        reader, assignment = self._member.place
        self._status.lag = assignment.lag(reader.high_watermarks(assignment.partitions))

    def _connected_sink(self) -> Sink | None:
        """The way into PostgreSQL; while there is none, the group is kept waiting."""
        if self._postgres.sink is None:
            reader, assignment = self._member.place
            if not self._reconnect():
                reader.poll_paused(timeout_ms=100)
            assignment.mark_changed()
        return self._postgres.sink

    def _stop_for_cut(self, sink: Sink, found: CutFound) -> None:
        """The verdict is kept first: it must outlive this process, and a log that grows again.

        Raises:
            LogCut: the verdict is in PostgreSQL.
        """
        try:
            sink.record_cut(found.topic, found.key, found.cut)
        except psycopg2.Error as error:
            self._handle_database_error(error)  # it will be found again
        else:
            raise stops(found.topic, found.key[1], found.cut)

    def _seek_to_stored(self, sink: Sink) -> None:
        seek_to_stored(sink, *self._member.place)
        assignment = self._member.place.assignment
        self._status.partitions = assignment.names
        if assignment.is_confirmed and assignment.generation != self._generation:
            self._generation = assignment.generation
            self._status.activity.rebalances += 1

    def _within_limits(self, polled: Sequence[Batch]) -> Sequence[Batch]:
        """The batches with what may be stored now; what is left out is read again from PostgreSQL's offset."""
        if polled:
            self._checkpoint("after poll")
        batches = self._step_size.granted(polled)
        if batches is not polled:
            self._member.place.assignment.mark_changed()
        return batches

    def _store(self, sink: Sink, batches: Sequence[Batch], read_at: float) -> Sequence[Batch]:
        """Store batches in one transaction; returns those that are stored, which are all or none."""
        if not count_records(batches):
            return []
        try:
            with self._ahead.reading(self._member.place.reader, count_records(batches)) as begin:
                counts = sink.store(batches, meanwhile=begin)
        except BaseException as error:
            if not self._step_size.halved(error, batches, sink.connection):
                raise
            self._status.activity.retries["timeout"] += 1
            self._member.place.assignment.mark_changed()
            return []
        self._step_size.fitted(batches)
        self._measures.read_to_commit.observe(time.monotonic() - read_at, count_records(batches))
        now_ms = time.time() * 1000
        for batch in batches:
            self._status.latency.observe(now_ms, [at for record in batch.records if (at := record.timestamp) >= 0])
        self._count(batches, counts)
        return batches

    def _store_control(self, sink: Sink, polled: Polled) -> None:
        """Move over transaction markers at the ends of logs."""
        assignment = self._member.place.assignment
        if not assignment.changed(polled.membership) and (batches := assignment.control_batches(polled)):
            self._count(batches, sink.store(batches))
            assignment.advance(batches)

    def _count(self, batches: Sequence[Batch], stored: Mapping[PartitionKey, Counts]) -> None:
        self._postgres.note_stored()
        self._status.activity.count_step(stored, {batch.key: batch.topic for batch in batches})
        for counts in stored.values():
            self._status.counts.add(counts)

    def _reconnect(self) -> bool:
        try:
            if not self._postgres.reconnect():
                return False
        except SesacctlError as error:
            if not error.retriable:
                raise
            self._status.wait_for("PostgreSQL", str(error))
            return False
        self._status.resume(self._send_status)
        return True

    def _handle_database_error(self, error: psycopg2.Error) -> None:
        self._status.wait_for("PostgreSQL", self._postgres.give_up(error))
        self._status.activity.retries[retry_class(error)] += 1

    def _watch_kafka(self) -> None:
        if self._member.place.reader.connected:
            self._connected_at = time.monotonic()
            self._status.resume(self._send_status)
        elif time.monotonic() - self._connected_at > LOST_SECONDS:
            advertised = missed.explain(self._settings)
            self._status.wait_for("Kafka", f"no broker answers; {advertised}" if advertised else "no broker answers")

    def _send_status(self) -> None:
        self._status.max_rss_bytes = max_rss_bytes()
        self._status.joined = self._member.joined and self._member.place.assignment.is_confirmed
        self._status.activity.take_measures(self._measures)
        self._report(self._status)
        self._status.counts, self._status.latency, self._status.activity = Counts(), Latency(), Activity()
