"""The records of one event in Kafka, found without knowing their offsets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sesacctl import envelopes
from sesacctl.broker.offsets import offsets_at
from sesacctl.broker.records import RecordReader
from sesacctl.broker.sender import partition_of
from sesacctl.events import Kind, record_time
from sesacctl.formats import Headers
from sesacctl.pipeline.audit.partitions import PartitionProgress
from sesacctl.pipeline.sink.record_like import RecordLike
from sesacctl.settings import Settings

MARGIN = timedelta(minutes=10)
"""An event's own time and its record's are those of two clocks, and it may have waited for a broker."""

EPOCH = datetime.fromtimestamp(0, UTC)
"""Kafka's times begin here; negative ones mean something else to it."""

_MOST_AFTER = 500_000

OnProgress = Callable[[int, int], None]
"""Is told how many offsets have been read, and of how many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRecord:
    """A record of the event; `timestamp` in milliseconds, -1 if unknown."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers

    @property
    def at(self) -> datetime | None:
        """Its own time, None if it has none."""
        return record_time(self.timestamp)

    @property
    def position(self) -> str:
        """As it is typed for `trace --at`."""
        return f"{self.topic}-{self.partition}@{self.offset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """Which part of the logs was read: from which time on, by the records' own times, and which partitions.

    `beginning_gone`: partitions whose log begins later than that time, as older records have expired. `stopped_at`: the
    offset at which the search for more records of the event ended early; None: it read on to the end.
    """

    since: datetime
    partitions: list[int]
    read: int
    beginning_gone: list[int]
    stopped_at: int | None


def found(topic: str, partition: int, record: RecordLike) -> FoundRecord:
    """A record with its place."""
    return FoundRecord(
        topic=topic, partition=partition, offset=record.offset, timestamp=record.timestamp, key=record.key,
        value=record.value, headers=record.headers,
    )  # fmt: skip


class Search:
    """Looks for the records of one event; `records` are those found so far, in the order of their offsets."""

    def __init__(self, settings: Settings, kind: Kind, row_id: str | None, on_progress: OnProgress) -> None:
        self._settings, self.kind, self.row_id, self._on_progress = settings, kind, row_id, on_progress
        self._plain = (row_id or "").encode()
        self.records: list[FoundRecord] = []
        self._partitions: list[int] = []
        self._read = 0
        self._beginning_gone: list[int] = []
        self._stopped_at: int | None = None
        self._since = EPOCH

    def run(
        self, parts: Sequence[PartitionProgress], since: datetime, key: str | None, *, end: int | None = None
    ) -> None:
        """Read the partition in which `key` belongs, and the others if nothing is there; before offset `end` alone.

        Raises:
            ServerUnreachable: no broker answers, or nothing comes for half a minute.
            ServerRefused: authentication or authorization failed.
            UnreadableBatch: a batch cannot be decompressed.
        """
        self._since = since
        home = None if key is None else partition_of(key.encode(), len(parts))
        first = [part for part in parts if part.partition == home]
        others = [part for part in parts if part.partition != home]
        for group in (first, others):
            if group and not self.records:
                self._run(group, since, end)

    def report(self) -> Searched:
        """What was read."""
        return Searched(
            since=self._since, partitions=self._partitions, read=self._read, beginning_gone=self._beginning_gone,
            stopped_at=self._stopped_at,
        )  # fmt: skip

    def _run(self, parts: Sequence[PartitionProgress], since: datetime, end: int | None) -> None:
        places = {(part.topic, part.partition): part for part in parts}
        ends = {place: part.log_stable_end if end is None else end for place, part in places.items()}
        at = offsets_at(self._settings, list(places), max(since, EPOCH))
        starts = {place: at.get(place, ends[place]) for place in places}  # none: all are older
        self._partitions += [part.partition for part in parts]
        self._beginning_gone += [each.partition for at, each in places.items() if 0 < each.log_start == starts[at]]
        total = sum(max(0, ends[place] - start) for place, start in starts.items())
        began, after = self._read, 0
        reached = dict(starts)
        with RecordReader(self._settings) as reader:
            for chunk in reader.chunks(starts, ends=ends):
                place = (chunk.topic, chunk.partition)
                self._read += chunk.next_offset - reached[place]
                reached[place] = chunk.next_offset
                self.records += [found(*place, record) for record in chunk.records if self._is_its(record)]
                self._on_progress(self._read - began, total)
                after += len(chunk.records) if self.records else 0
                if after > _MOST_AFTER:
                    self._stopped_at = chunk.next_offset
                    break

    def _is_its(self, record: RecordLike) -> bool:
        value = record.value or b""
        if not any(part in value for part in (self._plain, *envelopes.DISGUISES)):
            return False
        return envelopes.find_id(self.kind, record.key, value) == self.row_id
