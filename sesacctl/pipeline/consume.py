"""One consumer instance: polls Kafka, hands batches to the sink, and starts every step from PostgreSQL's offsets."""

from __future__ import annotations

import logging
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Any, Protocol
from uuid import UUID

import psycopg2
from kafka import OffsetAndMetadata, TopicPartition
from kafka.errors import (
    CommitFailedError,
    IllegalGenerationError,
    IllegalStateError,
    KafkaError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    RebalanceInProgressError,
    RetriableError,
    UnknownMemberIdError,
)

from sesacctl.broker import clients
from sesacctl.database.connections import as_ours, connect
from sesacctl.errors import OffsetGap, SesacctlError
from sesacctl.events import ORDERS, PRODUCTS, USERS
from sesacctl.pipeline.batch import Batch, Counts
from sesacctl.pipeline.failures import Failure, classify
from sesacctl.pipeline.latency import Latency
from sesacctl.pipeline.parked import retry_parked
from sesacctl.pipeline.sink import Fenced, Sink
from sesacctl.settings import Settings

log = logging.getLogger(__name__)

KINDS = (ORDERS, USERS, PRODUCTS)
POLL_MS = 500
IDLE_CHECK_SECONDS = 5.0
PARKED_SECONDS = 1.0
RECONNECT_SECONDS = 1.0
# These mean that the group is changing: poll again, and the new generation is noticed.
_POLL_AGAIN = (CommitFailedError, RebalanceInProgressError, IllegalGenerationError, UnknownMemberIdError)


class Budget(Protocol):
    """How many events may still be stored, by all instances together."""

    def take(self, most: int) -> int:
        """Reserve up to `most` events; 0 when none are left."""

    def give_back(self, unused: int) -> None:
        """Return what was reserved and not stored."""


@dataclass(slots=True)
class Status:
    """What an instance tells its supervisor; counts and latency are since the report before."""

    instance: int
    pid: int = 0
    state: str = "starting"
    waiting_for: str | None = None
    partitions: list[str] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    latency: Latency = field(default_factory=Latency)
    max_rss_bytes: int = 0
    error: str | None = None


@dataclass(slots=True)
class _Owned:
    """A partition that this instance owns."""

    kind: str
    topic_id: UUID
    next_offset: int


class Instance:
    """A member of the consumer group.

    `run` returns after `stop` is set, when what was polled is stored.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        number: int,
        member_id: str,
        report: Callable[[Status], None],
        budget: Budget | None = None,
        park_seconds: float,
        accept_gap: bool = False,
        checkpoint: Callable[[str], None] = lambda label: None,
    ) -> None:
        self._settings = settings
        self._member_id = member_id
        self._report = report
        self._budget = budget
        self._park_seconds = park_seconds
        self._accept_gap = accept_gap
        self._checkpoint = checkpoint
        self._kinds = {settings.topic(kind): kind for kind in KINDS}
        self._status = Status(number)
        self._connection: Any = None
        self._sink: Sink | None = None
        self._owned: dict[TopicPartition, _Owned] = {}
        self._membership: object = None
        self._last = dict.fromkeys(("report", "idle check", "parked", "connect"), 0.0)

    def run(self, stop: Event) -> None:
        """Consume until `stop` is set.

        Raises:
            SesacctlError: a person has to do something; offsets and rows are consistent all the same.
        """
        self._consumer = clients.consumer(self._settings, group_instance_id=self._member_id)
        self._consumer.subscribe(list(self._kinds))
        try:
            while not stop.is_set():
                self.run_once()
            self._status.state = "draining"
            if self._sink is not None:
                self._retry_parked()
        finally:
            self._disconnect()
            self._send_status()
            try:
                self._consumer.close(autocommit=False, timeout_ms=2_000)
            except (KafkaError, OSError, RuntimeError) as error:
                log.debug("closing the consumer: %s", error, extra={"action": "consume.close"})

    def run_once(self) -> int:
        """Poll once and store what came; gives the number of events stored or accounted for."""
        if self._due("report", 1.0):
            self._send_status()
        if self._sink is None and not self._reconnect():
            self._poll_paused()
            return 0
        try:
            records = self._poll(POLL_MS, clients.MAX_POLL_RECORDS)
            if self._membership_changed():
                self._take_over()
            elif records:
                return self._step(records)
            else:
                self._idle()
        except Fenced as error:
            log.info("%s; reading again", error, extra={"action": "consume.fenced"})
            self._membership = None
        except psycopg2.Error as error:
            self._handle_database_error(error)
        return 0

    # ---- Kafka

    def _poll(self, timeout_ms: int, most: int) -> dict[TopicPartition, list[Any]]:
        try:
            return self._consumer.poll(timeout_ms=timeout_ms, max_records=most)  # type: ignore[no-any-return]
        except NoOffsetForPartitionError:
            return {}  # a new assignment: we seek before the next poll
        except OffsetOutOfRangeError as error:
            self._handle_gap(error.args[0])
            return {}
        except (*_POLL_AGAIN, RetriableError) as error:
            log.debug("poll: %s", error, extra={"action": "consume.poll"})
            return {}

    def _membership_changed(self) -> bool:
        generation = self._consumer.group_metadata().generation_id
        topic_ids = [clients.topic_id(self._consumer, topic) for topic in self._kinds]
        membership = (generation, frozenset(self._consumer.assignment()), topic_ids)
        if membership == self._membership:
            return False
        self._membership = membership
        return True

    def _take_over(self) -> None:
        """Seek every partition of ours to PostgreSQL's offset; what was buffered before is dropped with that."""
        assert self._sink is not None
        self._owned = {}
        wanted = {
            tp: topic_id
            for tp in sorted(self._consumer.assignment())
            if (topic_id := clients.topic_id(self._consumer, tp.topic)) is not None
        }
        known = self._sink.positions((topic_id, tp.partition) for tp, topic_id in wanted.items()) if wanted else {}
        new = [tp for tp, topic_id in wanted.items() if (topic_id, tp.partition) not in known]
        starts = self._consumer.beginning_offsets(new) if new else {}
        for tp, topic_id in wanted.items():
            key = (topic_id, tp.partition)
            offset = known.get(key)
            if offset is None:
                offset = self._sink.begin_partition(tp.topic, key, starts[tp])
            self._seek(tp, offset)
            self._owned[tp] = _Owned(self._kinds[tp.topic], topic_id, offset)
        self._consumer.resume(*self._owned)
        self._status.partitions = [f"{tp.topic}-{tp.partition}" for tp in self._owned]
        log.debug("owns %s", self._status.partitions, extra={"action": "consume.assigned"})

    def _seek(self, tp: TopicPartition, offset: int) -> None:
        try:
            self._consumer.seek(tp, offset)
        except (ValueError, IllegalStateError, AssertionError):
            self._membership = None  # it was taken from us in between: look again

    def _handle_gap(self, positions: dict[TopicPartition, int]) -> None:
        """Records below the log's start are gone, or the log was cut: stop, or account for the gap and go on."""
        assert self._sink is not None
        partitions = list(positions)
        starts = self._consumer.beginning_offsets(partitions)
        ends = self._consumer.end_offsets(partitions)
        for tp, offset in positions.items():
            owned = self._owned.get(tp)
            if owned is None or starts[tp] <= offset <= ends[tp]:
                self._membership = None
                continue
            if not self._accept_gap or offset > ends[tp]:
                raise OffsetGap(f"{tp.topic}-{tp.partition}", offset, starts[tp], ends[tp])
            batch = Batch(owned.kind, tp.topic, owned.topic_id, tp.partition, owned.next_offset, starts[tp], ())
            self._sink.skip_expired(batch)
            log.warning(
                "%s-%s: offsets %s to %s have expired", tp.topic, tp.partition, offset, starts[tp] - 1,
                extra={"action": "consume.gap"},
            )  # fmt: skip
            self._status.counts.add(batch.counts)
            owned.next_offset = starts[tp]
            self._seek(tp, starts[tp])

    # ---- a step

    def _step(self, records: dict[TopicPartition, list[Any]]) -> int:
        assert self._sink is not None
        self._checkpoint("after poll")
        batches = [batch for tp, found in records.items() if (batch := self._batch(tp, found)) is not None]
        granted = self._keep_to_budget(batches)
        if not granted:
            return 0
        try:
            self._sink.store(batches)
        except BaseException:
            if self._budget is not None:
                self._budget.give_back(granted)
            raise
        now_ms = time.time() * 1000
        for batch in batches:
            self._status.latency.observe(now_ms, [record.timestamp for record in batch.records])
        self._stored(batches)
        self._checkpoint("after offset commit")
        return granted

    def _keep_to_budget(self, batches: list[Batch]) -> int:
        """Cut the batches to what may still be stored; what is cut is read again from PostgreSQL's offset."""
        polled = sum(len(batch.records) for batch in batches)
        if self._budget is None or polled == 0:
            return polled
        granted = left = self._budget.take(polled)
        for batch in batches:
            if len(batch.records) > left:
                self._membership = None
                batch.records = batch.records[:left]
                batch.end = batch.records[-1].offset + 1 if left else batch.seen
            left -= len(batch.records)
        return granted

    def _stored(self, batches: list[Batch]) -> None:
        for batch in batches:
            self._owned[TopicPartition(batch.topic, batch.partition)].next_offset = batch.end
            self._status.counts.add(batch.counts)
        # For lag tools only: PostgreSQL's offsets are the truth, so a failure here is of no consequence.
        offsets = {TopicPartition(b.topic, b.partition): OffsetAndMetadata(b.end, "", -1) for b in batches}
        self._consumer.commit_async(offsets, callback=lambda offsets, response: None)

    def _batch(self, tp: TopicPartition, records: list[Any]) -> Batch | None:
        owned = self._owned.get(tp)
        if owned is None:
            self._membership = None
            return None
        if records[0].offset < owned.next_offset:
            records = [record for record in records if record.offset >= owned.next_offset]
            if not records:
                return None
        end = records[-1].offset + 1
        return Batch(owned.kind, tp.topic, owned.topic_id, tp.partition, owned.next_offset, end, records)

    # ---- quiet times

    def _idle(self) -> None:
        if self._due("parked", PARKED_SECONDS):
            self._retry_parked()
        if self._due("idle check", IDLE_CHECK_SECONDS) and self._owned:
            assert self._sink is not None
            known = self._sink.positions((owned.topic_id, tp.partition) for tp, owned in self._owned.items())
            if any(known.get((owned.topic_id, tp.partition)) != owned.next_offset for tp, owned in self._owned.items()):
                log.warning("PostgreSQL's offsets were changed; reading from there", extra={"action": "consume.seek"})
                self._membership = None
                return
        self._pass_control_records()

    def _pass_control_records(self) -> None:
        """Transaction markers at the end of a log move the consumer's position without handing out a record."""
        assert self._sink is not None
        batches = [
            Batch(owned.kind, tp.topic, owned.topic_id, tp.partition, owned.next_offset, position, ())
            for tp, owned in self._owned.items()
            if (position := clients.position(self._consumer, tp)) is not None and position > owned.next_offset
        ]
        if batches:
            self._sink.store(batches)
            self._stored(batches)

    def _retry_parked(self) -> None:
        keys = [(owned.topic_id, tp.partition) for tp, owned in self._owned.items()]
        if keys:
            counts = retry_parked(
                self._connection,
                group=self._settings.kafka_group,
                keys=keys,
                park_seconds=self._park_seconds,
                parents_without_lag=self._parents_without_lag,
            )
            self._status.counts.add(counts)

    def _parents_without_lag(self) -> bool:
        assert self._sink is not None
        parents = [
            TopicPartition(topic, partition)
            for topic, kind in self._kinds.items()
            if kind != ORDERS
            for partition in self._consumer.partitions_for_topic(topic) or ()
        ]
        ends = self._consumer.end_offsets(parents)
        keys = {
            tp: (topic_id, tp.partition)
            for tp in parents
            if (topic_id := clients.topic_id(self._consumer, tp.topic)) is not None
        }
        known = self._sink.positions(keys.values())
        return all(end == 0 or known.get(keys[tp], 0) >= end for tp, end in ends.items() if tp in keys)

    # ---- PostgreSQL

    def _reconnect(self) -> bool:
        if not self._due("connect", RECONNECT_SECONDS):
            return False
        try:
            self._connection = connect(self._settings, command="consume")
        except SesacctlError as error:
            if not error.retriable:
                raise
            self._wait_for("PostgreSQL", str(error))
            return False
        self._sink = Sink(self._connection, group=self._settings.kafka_group, checkpoint=self._checkpoint)
        self._membership = None
        if self._status.waiting_for:
            log.info("PostgreSQL is back", extra={"action": "consume.resumed"})
        self._status.state, self._status.waiting_for = "running", None
        return True

    def _handle_database_error(self, error: psycopg2.Error) -> None:
        if classify(error) is not Failure.INFRA:
            raise as_ours(error, self._settings) or error
        self._disconnect()
        self._wait_for("PostgreSQL", " ".join(str(error).split()))

    def _disconnect(self) -> None:
        connection, self._connection, self._sink = self._connection, None, None
        if connection is not None:
            try:
                connection.close()
            except psycopg2.Error as error:
                log.debug("closing: %s", error, extra={"action": "consume.disconnect"})

    def _wait_for(self, server: str, why: str) -> None:
        if self._status.waiting_for != server:
            log.warning("waiting for %s: %s", server, why, extra={"action": "consume.waiting"})
        self._status.state, self._status.waiting_for, self._status.error = "waiting", server, why

    def _poll_paused(self) -> None:
        """Stay a member of the group, and take nothing, while PostgreSQL is away."""
        self._consumer.pause(*self._consumer.assignment())
        self._poll(100, 1)
        self._membership = None

    # ---- reporting

    def _due(self, what: str, seconds: float) -> bool:
        now = time.monotonic()
        if now - self._last[what] < seconds:
            return False
        self._last[what] = now
        return True

    def _send_status(self) -> None:
        unit = 1 if sys.platform == "darwin" else 1024
        self._status.max_rss_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
        self._report(self._status)
        self._status.counts, self._status.latency = Counts(), Latency()
