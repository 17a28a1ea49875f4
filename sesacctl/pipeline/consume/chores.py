"""What an instance does between two steps, under load as well as without."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import psycopg2

from sesacctl.events import PRODUCTS, USERS, Kind, Reason
from sesacctl.pipeline.consume.assignment import Assignment
from sesacctl.pipeline.consume.parked import LOADED_SECONDS, SECONDS, parents_without_lag, retry_parked
from sesacctl.pipeline.consume.reader import Reader
from sesacctl.pipeline.consume.status import Status, Timer
from sesacctl.pipeline.sink.counts import Counter
from sesacctl.pipeline.sink.measures import Measures
from sesacctl.pipeline.sink.store import Sink
from sesacctl.settings import Settings

logger = logging.getLogger(__name__)

_BACKLOG = 1_000  # offsets; above, new events are waiting, and parked ones take a tenth of the time


class Chores:
    """Offsets for Kafka's tools, another try at parked events, and a look at whether offsets were changed."""

    def __init__(
        self,
        settings: Settings,
        kind_of: Mapping[str, Kind],
        status: Status,
        measures: Measures,
        *,
        park_seconds: float,
        checkpoint: Callable[[str], None],
    ) -> None:
        """`kind_of` has the kind of event by topic name; `status` and `measures` get what becomes of parked events."""
        self._settings = settings
        self._kind_of = kind_of
        self._parents = [settings.topic(kind) for kind in (USERS, PRODUCTS)]
        self._status = status
        self._measures = measures
        self._park_seconds = park_seconds
        self._checkpoint = checkpoint
        self._committing, self._parked, self._comparing = Timer(1.0), Timer(1.0), Timer(5.0)

    def run(self, sink: Sink, reader: Reader, assignment: Assignment) -> None:
        """Do what is due.

        Raises:
            sesacctl.pipeline.sink.log_cuts.CutFound: a log ends before PostgreSQL's offset.
            psycopg2.Error: PostgreSQL does not answer as it should.
        """
        if self._committing.due():  # not in each step: a commit costs the brokers as much as the events themselves
            self._checkpoint("before offset commit")
            reader.commit_to_kafka(assignment.take_uncommitted())
            self._checkpoint("after offset commit")
        if self._parked.due():
            self._retry_parked(sink, reader, assignment)
        if self._comparing.due():
            self._compare(sink, reader, assignment)

    def _compare(self, sink: Sink, reader: Reader, assignment: Assignment) -> None:
        assignment.require_whole_logs(reader.high_watermarks(assignment.partitions))
        for key, mark in assignment.take_baselines():
            sink.keep_mark(key, mark)
        if not assignment.offsets_match(sink.next_offsets(list(assignment.next_offsets))):
            logger.warning("PostgreSQL's offsets were changed; reading from there", extra={"action": "consume.seek"})
            assignment.mark_changed()

    def try_parked_once_more(self, sink: Sink, reader: Reader, assignment: Assignment) -> None:
        """Before the end; if PostgreSQL is away now, events stay parked."""
        try:
            self._retry_parked(sink, reader, assignment)
        except psycopg2.Error as error:
            logger.debug("parked rows: %s", error, extra={"action": "consume.parked"})

    def _retry_parked(self, sink: Sink, reader: Reader, assignment: Assignment) -> None:
        owned = [(tp.topic, tp.partition) for tp in assignment.partitions]
        # What came from partitions that are no more has no owner but that of the topic's first one.
        counts = {topic: reader.partition_count(topic) for topic, partition in owned if partition == 0}
        changes = retry_parked(
            sink.connection,
            group=self._settings.kafka_group,
            kind_of=self._kind_of,
            partitions=owned,
            beyond={topic: count for topic, count in counts.items() if count},
            park_seconds=self._park_seconds,
            parents_without_lag=lambda: parents_without_lag(reader.consumer, sink, self._parents),
            seconds=LOADED_SECONDS if self._status.lag > _BACKLOG else SECONDS,
            zone=self._settings.event_timezone,
            on_settled=self._count_settled,
        )
        self._status.counts.add(changes)

    def _count_settled(self, topic: str, to: Counter, reason: Reason | None) -> None:
        self._status.activity.events[topic, to] += 1
        if reason is not None:
            self._measures.count_dead(topic, reason)
