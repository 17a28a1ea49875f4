"""Is this the log that was stored? The last stored record and its leader epoch say so; an offset does not."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kafka import TopicPartition
from kafka.errors import LogTruncationError, OffsetOutOfRangeError

from sesacctl.broker import clients
from sesacctl.database.connections import transaction
from sesacctl.pipeline.audit.partitions import PartitionProgress
from sesacctl.pipeline.consume.owned_log import contradiction
from sesacctl.pipeline.sink.batch import LogMark
from sesacctl.pipeline.sink.counts import PartitionKey
from sesacctl.pipeline.sink.log_cuts import CutLog, cut_log, record, stops
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from sesacctl.broker.consumer_like import ConsumerLike
    from sesacctl.broker.kafka_python.consumer_records import Record

POLL_MS = 500
LOOK_SECONDS = 30.0


def find_cuts(
    settings: Settings, partitions: Sequence[PartitionProgress], *, seconds: float
) -> dict[PartitionKey, CutLog]:
    """The logs that were cut or replaced since they were stored: by standing verdicts, and by reading them.

    Raises:
        ServerUnreachable: some could not be read within `seconds`.
        ServerRefused: Kafka refused: wrong credentials or a missing right.
    """
    wanted = {
        TopicPartition(part.topic, part.partition): part
        for part in partitions
        if part.mark is not None and part.mark.says_something
    }
    cuts = known_cuts(partitions)
    if wanted:
        with clients.translate_errors(settings):
            found = _Look(settings, wanted).run(seconds)
        for tp, cut in found.items():
            key = wanted[tp].key
            cuts[key] = _merged(cuts[key], cut) if key in cuts else cut
    return cuts


def _merged(known: CutLog, seen: CutLog) -> CutLog:
    """A log may be cut again behind a verdict that stands: it differs from the earlier offset on."""
    if known.found_at is None:
        return seen
    both = (known.diverged_at, seen.diverged_at)
    return replace(known, diverged_at=None if None in both else min(each for each in both if each is not None))


def require_same_logs(settings: Settings, partitions: Sequence[PartitionProgress]) -> None:
    """Return only if no log was cut; the verdict is kept first.

    Raises:
        LogCut: a log is not the one that was stored.
        ServerUnreachable: a server cannot be reached.
        ServerRefused: a server refused: wrong credentials or a missing right.
    """
    cuts = find_cuts(settings, partitions, seconds=LOOK_SECONDS)
    cut_parts = [part for part in partitions if part.key in cuts]
    if not cut_parts:
        return
    with transaction(settings, command="log-cuts", commit=True) as cursor:
        for part in cut_parts:
            record(cursor, settings.kafka_group, part.topic, part.key, cuts[part.key])
    first = cut_parts[0]
    raise stops(first.topic, first.partition, cuts[first.key])


def known_cuts(partitions: Sequence[PartitionProgress]) -> dict[PartitionKey, CutLog]:
    """The part of `find_cuts` that does not read the logs: verdicts that stand, and logs that end too early."""
    return {part.key: cut for part in partitions if (cut := part.cut_log or _shorter(part))}


def _shorter(part: PartitionProgress) -> CutLog | None:
    if part.next is None or not part.cut:
        return None
    return cut_log(part.next, f"it ends at offset {part.log_end}", None)  # it may have been cut before, and grown again


class _Look:
    """Reads the last stored record of each log once more."""

    def __init__(self, settings: Settings, wanted: Mapping[TopicPartition, PartitionProgress]) -> None:
        self._settings = settings
        self._parts = wanted
        self._left = set(wanted)
        self._diverged: dict[TopicPartition, int | None] = {}
        self._cuts: dict[TopicPartition, CutLog] = {}

    def run(self, seconds: float) -> dict[TopicPartition, CutLog]:
        """The verdicts; errors as `find_cuts`."""
        deadline = time.monotonic() + seconds
        self._consumer: ConsumerLike = clients.consumer(self._settings, group_instance_id=None)
        try:
            self._consumer.assign(list(self._left))
            for tp in self._parts:
                self._seek(tp)
            while self._left:
                if time.monotonic() > deadline:
                    raise clients.unreachable(self._settings, TimeoutError())
                self._poll()
        finally:
            self._consumer.close(autocommit=False)
        return self._cuts

    def _mark(self, tp: TopicPartition) -> LogMark:
        mark = self._parts[tp].mark
        assert mark is not None
        return mark

    def _has_record(self, tp: TopicPartition) -> bool:
        """Whether the last stored record should still be in the log."""
        last = self._mark(tp).last_offset
        return last is not None and last >= self._parts[tp].log_start

    def _seek(self, tp: TopicPartition) -> None:
        mark = self._mark(tp)
        offset = mark.last_offset if self._has_record(tp) else mark.next_offset
        assert offset is not None
        clients.seek(self._consumer, tp, offset, None if tp in self._diverged else mark.leader_epoch)

    def _poll(self) -> None:
        try:
            polled = self._consumer.poll(timeout_ms=POLL_MS)
        except LogTruncationError as error:
            for tp, end in error.divergent_offsets.items():
                self._handle_truncation(tp, end and end.offset)
            return
        except OffsetOutOfRangeError as error:
            self._handle_out_of_range(error.args[0])
            return
        for tp in self._left & set(polled):
            self._settle(tp, self._contradiction(tp, polled[tp]) if self._has_record(tp) else None)
        for tp in list(self._left):
            self._settle_without_records(tp)

    def _settle_without_records(self, tp: TopicPartition) -> None:
        position, next_offset = clients.position(self._consumer, tp), self._mark(tp).next_offset
        if self._has_record(tp):
            if position is not None and position >= next_offset:
                self._settle(tp, self._contradiction(tp, []))
        elif clients.highwater(self._consumer, tp) is not None:  # fetched, hence not refused for its epoch
            self._settle(tp)

    def _contradiction(self, tp: TopicPartition, polled: Sequence[Record]) -> str | None:
        mark = self._mark(tp)
        agrees = mark.leader_epoch is not None and tp not in self._diverged
        return contradiction(mark, polled, epoch_agrees=agrees)

    def _handle_truncation(self, tp: TopicPartition, end: int | None) -> None:
        """By leader epochs alone; the record decides where it is, as the epochs of a restored cluster begin again."""
        self._diverged[tp] = end
        if self._has_record(tp):
            self._seek(tp)
        elif end is None or end < self._mark(tp).next_offset:
            self._settle(tp, "the brokers know nothing of its leader epoch")
        else:
            self._settle(tp)

    def _handle_out_of_range(self, positions: Mapping[TopicPartition, int]) -> None:
        starts, ends = (look(self._consumer, list(positions)) for look in (clients.log_starts, clients.log_ends))
        if starts is None or ends is None:
            return
        for tp, end in ends.items():
            if end < self._mark(tp).next_offset:
                self._settle(tp, f"it ends at offset {end}")
            elif positions[tp] < starts[tp]:  # they have expired meanwhile, which is not a cut
                self._settle(tp)
            else:  # what brokers say as well when they do not know the leader epoch
                self._handle_truncation(tp, None)

    def _settle(self, tp: TopicPartition, found: str | None = None) -> None:
        self._left.discard(tp)
        self._consumer.pause(tp)
        if found is not None:
            self._cuts[tp] = cut_log(self._mark(tp).next_offset, found, self._diverged.get(tp))
