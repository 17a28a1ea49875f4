"""Records that PostgreSQL does not have and Kafka has no longer, and logs that are not those that were stored."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from kafka import OffsetAndMetadata, TopicPartition

from sesacctl.broker import clients
from sesacctl.errors import OffsetGap
from sesacctl.events import Kind
from sesacctl.pipeline.consume.owned_log import OwnedLog, StrangeLog
from sesacctl.pipeline.sink.batch import Batch, LogMark
from sesacctl.pipeline.sink.counts import PartitionKey
from sesacctl.pipeline.sink.log_cuts import CutFound, cut_log
from sesacctl.waiting import wait_until

if TYPE_CHECKING:
    from sesacctl.broker.consumer_like import ConsumerLike
    from sesacctl.broker.kafka_python.consumer_records import Record

logger = logging.getLogger(__name__)

_AGREE_SECONDS = 3.0


class ReadAgain(Exception):
    """What was polled is not to be trusted: drop it, look up what is owned, and seek."""


class Logs(Protocol):
    """What the brokers are asked of logs in doubt."""

    def log_starts(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int] | None:
        """The first offset of each log; None if they are not known soon."""

    def log_ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int] | None:
        """The end of each log; None if they are not known soon."""

    def is_same_topic(self, ids: Mapping[str, UUID]) -> bool:
        """Whether the topics of these names still have these ids."""


class LogGuard:
    """Compares what a consumer reads with what PostgreSQL knows of the logs: reports a fault, or accepts the gap.

    Before it says that a log was cut, it makes sure that its topic was not created again: then it begins from scratch.
    """

    def __init__(self, logs: Logs, *, accept_gap: bool) -> None:
        """`accept_gap`: records that are gone are counted as expired."""
        self._logs = logs
        self._accept_gap = accept_gap
        # By the brokers' leader epochs, where logs differ from what was stored; None: somewhere.
        self._diverged: dict[PartitionKey, int | None] = {}
        self._unreadable: dict[PartitionKey, LogMark] = {}

    # ---- before reading

    def note_unreadable(self, key: PartitionKey, mark: LogMark) -> None:
        """The last record before PostgreSQL's offset is not in the log any more."""
        self._unreadable[key] = mark

    def note_epochs(self, diverged: Sequence[tuple[OwnedLog, OffsetAndMetadata | None]]) -> None:
        """The brokers say that leader epochs differ; the last record decides where it is still there.

        The epochs of a cluster that was restored from copies of its logs begin again.
        """
        self._diverged |= {log.key: end and end.offset for log, end in diverged}

    def forget_epochs(self, key: PartitionKey) -> None:
        """The epoch that PostgreSQL has now is the log's own."""
        self._diverged.pop(key, None)

    def owned(self, tp: TopicPartition, kind: Kind, topic_id: UUID, mark: LogMark) -> OwnedLog:
        """A log to be read on from its mark.

        Raises:
            CutFound: brokers have other leader epochs, and the last record is no longer there to contradict them.
        """
        key = (topic_id, tp.partition)
        readable, known = self._unreadable.get(key) != mark, mark.leader_epoch is not None
        log = OwnedLog(tp, kind, topic_id, mark, readable, epoch_agrees=known and key not in self._diverged)
        if known and not readable and key in self._diverged:
            end = self._diverged[key]
            if end is None or end < mark.next_offset:
                raise self._cut(log, "the brokers know nothing of its leader epoch")
        return log

    # ---- while reading

    def fresh(self, log: OwnedLog, polled: list[Record]) -> list[Record]:
        """`OwnedLog.fresh`, with its verdict.

        Raises:
            CutFound: the log was cut.
            ReadAgain: its topic was created again.
        """
        with self._same_log():
            return log.fresh(polled)

    def require_recognised(self, log: OwnedLog, position: int) -> None:
        """`OwnedLog.require_recognised`, with its verdict.

        Raises:
            CutFound: the log was cut.
            ReadAgain: its topic was created again.
        """
        with self._same_log():
            log.require_recognised(position)

    def whole(self, log: OwnedLog, batch: Batch) -> Batch:
        """The batch, if every offset in it is accounted for.

        Raises:
            OffsetGap: records are gone, and that is not accepted.
            ReadAgain: the position may have run ahead, or the topic was created again.
        """
        if batch.holes:
            # Only where reading began right before it is a hole one of the log's own: the position may have run ahead.
            if log.has_moved or not self._is_in_same_topic([log]):
                raise ReadAgain
            pass_holes(log.tp, batch, accept=self._accept_gap)
            return replace(batch, holes_accepted=True)
        return batch

    def expired(self, positions: Sequence[tuple[OwnedLog, int]]) -> Iterator[tuple[OwnedLog, int]]:
        """Logs whose next records have expired, and where they begin now, for positions that brokers refused.

        Brokers say the same when they do not know the leader epoch that they were asked with.

        Raises:
            OffsetGap: and that is not accepted.
            CutFound: a log ends before PostgreSQL's offset.
        """
        logs = [log for log, _ in positions]
        if not logs or not self._is_in_same_topic(logs):
            return
        partitions = [log.tp for log in logs]
        starts, ends = self._logs.log_starts(partitions), self._logs.log_ends(partitions)
        if starts is None or ends is None:
            return
        for log, position in positions:
            start = starts[log.tp]
            if log.next_offset > ends[log.tp]:
                raise self._too_short(log, ends[log.tp])
            if log.next_offset < start:
                pass_expired(log.tp, log.next_offset, start, accept=self._accept_gap)
                yield log, start
            elif position < start:  # only the last stored record has expired, with which reading begins
                self.note_unreadable(log.key, log.mark)
            else:
                self._diverged[log.key] = None

    def require_ends(self, logs: Sequence[OwnedLog]) -> None:
        """Return only if these logs, which seem to end before PostgreSQL's offset, do not.

        Raises:
            CutFound: one of them does.
        """
        if logs and self._is_in_same_topic(logs):
            ends = self._logs.log_ends([log.tp for log in logs]) or {}
            for log in logs:
                if ends.get(log.tp, log.next_offset) < log.next_offset:
                    raise self._too_short(log, ends[log.tp])

    @contextmanager
    def _same_log(self) -> Iterator[None]:
        try:
            yield
        except StrangeLog as strange:
            raise (
                self._cut(strange.log, strange.found) if self._is_in_same_topic([strange.log]) else ReadAgain
            ) from None

    def _too_short(self, log: OwnedLog, end: int) -> CutFound:
        return self._cut(log, f"it ends at offset {end}")

    def _cut(self, log: OwnedLog, found: str) -> CutFound:
        return CutFound(log.tp.topic, log.key, cut_log(log.next_offset, found, self._diverged.get(log.key)))

    def _is_in_same_topic(self, logs: Sequence[OwnedLog]) -> bool:
        return self._logs.is_same_topic({log.tp.topic: log.topic_id for log in logs})


def is_same_topic(consumer: ConsumerLike, ids: Mapping[str, UUID]) -> bool:
    """True if the topics still have these ids, by name; one that was created again begins from scratch.

    Brokers learn of that one after the other: the answer is yes when none has named another id for some seconds.
    """

    def is_in_doubt() -> bool:
        return not clients.refresh_topics(consumer) or any(
            clients.topic_id(consumer, topic) != known for topic, known in ids.items()
        )

    return not wait_until(is_in_doubt, _AGREE_SECONDS)


def pass_expired(tp: TopicPartition, first: int, start: int, *, accept: bool) -> None:
    """Return if offsets below the log's start may be counted as expired.

    Raises:
        OffsetGap: nobody has accepted that.
    """
    _pass(tp, first, start, "they have expired", accept=accept)


def pass_holes(tp: TopicPartition, batch: Batch, *, accept: bool) -> None:
    """Return if what is missing between the records of a batch may be counted as expired.

    Raises:
        OffsetGap: nobody has accepted that; it names the first hole.
    """
    seen = sorted([*((record.offset, record.offset + 1) for record in batch.records), *batch.skipped])
    first = batch.next_offset
    for begin, end in [*seen, (batch.end, batch.end)]:
        if begin > first:
            why = f"something has deleted {batch.holes} records from the middle of the log, such as compaction"
            _pass(tp, first, begin, why, accept=accept)
            return
        first = max(first, end)


def _pass(tp: TopicPartition, first: int, end: int, why: str, *, accept: bool) -> None:
    gap = OffsetGap(f"{tp.topic}-{tp.partition}", first, end, why)
    if not accept:
        raise gap
    logger.warning("%s", gap, extra={"action": "consume.gap"})
