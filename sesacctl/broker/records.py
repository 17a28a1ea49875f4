"""Records of any topic by position, read outside every group: nothing is joined, and nothing committed.

Isolation is `read_committed`: transaction markers and the records of aborted transactions are not handed out, and what
waits for the end of an open transaction is not there yet.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from kafka import TopicPartition
from kafka.errors import LogTruncationError, OffsetOutOfRangeError

from sesacctl.broker import clients
from sesacctl.errors import OffsetMissing
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from sesacctl.broker.consumer_like import ConsumerLike
    from sesacctl.broker.kafka_python.consumer_records import Record

Partition = tuple[str, int]
"""A topic's name on the brokers, and the number of one of its partitions."""

POLL_MS = 500
SILENT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some records of one partition, in order; reading continues at `next_offset`.

    `expired`: how many offsets before them are gone from the log's start.
    """

    topic: str
    partition: int
    records: list[Record]
    next_offset: int
    expired: int = 0


class RecordReader:
    """Reads ranges of partitions, one call after the other. A context manager; not for use by several threads.

    >>> from sesacctl import settings
    >>> from sesacctl.broker.records import RecordReader
    >>> with RecordReader(settings.load()) as reader:
    ...     values = [record.value for record in reader.read("orders", 3, 0, end=10)]
    """

    def __init__(self, settings: Settings, *, partition_bytes: int | None = None) -> None:
        """Connect. `partition_bytes`: about how much is fetched of a partition at a time.

        Raises:
            ServerUnreachable: no broker answers in time.
            ServerRefused: authentication or authorization failed.
            ConfigurationError: settings that belong together are not there, or a file or function cannot be used.
        """
        self._settings = settings
        self._consumer: ConsumerLike = clients.consumer(
            settings, group_instance_id=None, partition_bytes=partition_bytes
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Disconnect."""
        self._consumer.close(autocommit=False)

    @property
    def connected(self) -> bool:
        """Whether there is a connection to any broker."""
        return clients.is_connected(self._consumer)

    def count_partitions(self, topic: str) -> int:
        """How many partitions the topic has now; as many as before if no broker answers within two seconds."""
        clients.refresh_topics(self._consumer)
        return len(clients.partitions(self._consumer, topic))

    def read(
        self, topic: str, partition: int, start: int, *, end: int, seconds: float | None = None
    ) -> Iterator[Record]:
        """The records from offset `start` up to but not including `end`; errors as `chunks`. Stop iterating at will."""
        where = (topic, partition)
        for chunk in self.chunks({where: start}, ends={where: end}, seconds=seconds):
            yield from chunk.records

    def chunks(
        self,
        starts: Mapping[Partition, int],
        *,
        ends: Mapping[Partition, int] | None = None,
        seconds: float | None = None,
        stop: threading.Event | None = None,
    ) -> Iterator[Chunk]:
        """Records of several partitions from `starts` on, as they come; those of one partition are in order.

        Ends when each partition has reached its end, which must not lie behind the stable end; without `ends`, only by
        `stop`. After `seconds` it ends, too: the last `next_offset` of a partition tells how far it came. Records that
        expired are passed over, and counted. A chunk may be without records.

        Raises:
            OffsetMissing: a log ends before the offset at which reading would continue, or was cut meanwhile.
            ServerUnreachable: for half a minute nothing came that should be there.
            ServerRefused: authentication or authorization failed.
            UnreadableBatch: a batch cannot be decompressed.
        """
        left = {TopicPartition(*where): start for where, start in starts.items()}
        limits = None if ends is None else {TopicPartition(*where): end for where, end in ends.items()}
        if limits is not None:
            left = {tp: start for tp, start in left.items() if start < limits[tp]}
        self._begin(left)
        deadline = None if seconds is None else time.monotonic() + seconds
        heard = time.monotonic()
        while left and not (stop and stop.is_set()) and (deadline is None or time.monotonic() < deadline):
            for chunk in self._poll(left, limits):
                tp = TopicPartition(chunk.topic, chunk.partition)
                left[tp], heard = chunk.next_offset, time.monotonic()
                yield chunk
                heard = time.monotonic()  # the caller may have taken long with it
            if limits is not None:
                self._drop_finished(left, limits)
                if left and time.monotonic() - heard > SILENT_SECONDS:
                    raise clients.unreachable(self._settings, TimeoutError())

    def firsts(
        self, starts: Mapping[Partition, int], *, ends: Mapping[Partition, int], seconds: float
    ) -> Iterator[tuple[Partition, Record | None]]:
        """The first record of each partition from `starts` on, None if none comes before its end; errors as `chunks`.

        Those that are not known within `seconds` are left out.
        """
        left = {TopicPartition(*where): start for where, start in starts.items()}
        limits = {TopicPartition(*where): end for where, end in ends.items()}
        self._begin(left)
        deadline = time.monotonic() + seconds
        while left and time.monotonic() < deadline:
            for chunk in self._poll(dict(left), limits):
                tp = TopicPartition(chunk.topic, chunk.partition)
                if chunk.records or chunk.next_offset >= limits[tp]:
                    yield (chunk.topic, chunk.partition), chunk.records[0] if chunk.records else None
                    limits[tp] = min(limits[tp], chunk.next_offset)
                left[tp] = chunk.next_offset
            self._drop_finished(left, limits)

    def _begin(self, starts: Mapping[TopicPartition, int]) -> None:
        self._consumer.assign(list(starts))
        for tp, start in starts.items():
            clients.seek(self._consumer, tp, start, None)
        self._consumer.resume(*starts)

    def _poll(self, left: Mapping[TopicPartition, int], limits: Mapping[TopicPartition, int] | None) -> Iterator[Chunk]:
        expired: dict[TopicPartition, int] = {}
        polled: dict[TopicPartition, list[Record]] = {}
        with clients.translate_errors(self._settings):
            try:
                polled = self._consumer.poll(timeout_ms=POLL_MS)
            except OffsetOutOfRangeError as error:  # they expired, before or meanwhile
                expired = self._pass_expired(error.args[0])
            except LogTruncationError as error:
                tp = next(iter(error.divergent_offsets))
                raise OffsetMissing(f"{tp.topic}-{tp.partition}: its log was cut while it was read") from None
        for tp, before in left.items():
            position = clients.position(self._consumer, tp)
            after = before if position is None else position
            if limits is not None:
                after = min(after, limits[tp])
            records = polled.get(tp, [])
            if limits is not None and records and records[-1].offset >= limits[tp]:
                records = [record for record in records if record.offset < limits[tp]]
            if records or after != before:
                yield Chunk(tp.topic, tp.partition, records, after, min(expired.get(tp, 0), after - before))

    def _pass_expired(self, gone: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        passed = {}
        for tp, start in self._consumer.beginning_offsets(list(gone)).items():
            if start <= gone[tp]:
                raise OffsetMissing(f"{tp.topic}-{tp.partition}: its log ends before offset {gone[tp]}")
            clients.seek(self._consumer, tp, start, None)
            passed[tp] = start - gone[tp]
        return passed

    def _drop_finished(self, left: dict[TopicPartition, int], limits: Mapping[TopicPartition, int]) -> None:
        done = [tp for tp, reached in left.items() if reached >= limits[tp]]
        for tp in done:
            del left[tp]
        if done:
            self._consumer.pause(*done)
