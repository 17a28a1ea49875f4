"""A look at the messages of a topic, decoded as far as possible. Joins no group and commits nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

from sesacctl import formats, formatting
from sesacctl.broker.offsets import LogBounds, log_bounds, offsets_at
from sesacctl.broker.records import Partition, RecordReader
from sesacctl.broker.sender import partition_of
from sesacctl.errors import OffsetMissing, PartitionMissing, TopicMissing
from sesacctl.events import CODECS, PARTITIONS, Kind, Malformed, record_time
from sesacctl.pipeline.sink.explain import explain
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from sesacctl.broker.kafka_python.consumer_records import Record

LOOK_SECONDS = 30.0
_FIRST_WINDOW = 1_000
_LAST_WINDOW = 200_000
_ROUND_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One record; `key`, `value` and headers as text as far as they are text, the bytes of the first two in base64.

    `size`: bytes of key, value and headers, before compression. `id`: of the event's row. `problem`: why a consumer
    would refuse it, or in a topic of another program what its value looks like.
    """

    topic: str
    partition: int
    offset: int
    time: datetime | None
    size: int
    kind: Kind | None
    id: str | None
    problem: str | None
    key: str | None
    value: str | None
    key_base64: str | None
    value_base64: str | None
    headers: list[tuple[str, str | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which messages: the newest `count`, not older than `since` seconds; or the first `count` from `offset` on.

    `offset` is for one `partition`, and without `since`.
    """

    topic: str
    count: int = 5
    partition: int | None = None
    offset: int | None = None
    key: bytes | None = None
    since: float | None = None


@dataclass(slots=True)
class _Look:
    """One partition: what is looked at lies between the two offsets, and is read backwards in windows."""

    first: int
    begin: int
    matches: list[Record] = field(default_factory=list)
    window: int = 0

    def widen(self, most: int) -> int:
        """Where the next window begins."""
        self.window = min(self.window * 4, _LAST_WINDOW) if self.window else most
        return max(self.first, self.begin - self.window)


class Peek:
    """Messages of one topic: those that are there, and those that come. A context manager.

    Records of aborted transactions and transaction markers are never among them, and those of an open one not yet.
    """

    def __init__(self, settings: Settings, wanted: Wanted) -> None:
        """Ask where the logs begin and end, and connect.

        Raises:
            TopicMissing: there is no such topic.
            PartitionMissing: the topic has no such partition.
            OffsetMissing: the log does not hold the offset.
            ServerUnreachable: no broker answers in time.
            ServerRefused: authentication or authorization failed.
        """
        self._settings, self._wanted = settings, wanted
        self._kind = next((kind for kind in PARTITIONS if settings.topic(kind) == wanted.topic), None)
        try:
            logs = {log.partition: log for log in log_bounds(settings, wanted.topic)}
        except TopicMissing as error:
            raise TopicMissing(str(error), hint=None if self._kind else "sesacctl topics list") from None
        self.partitions = self._chosen(logs)
        """The numbers of the partitions that are looked at."""
        self._logs = {(wanted.topic, number): logs[number] for number in self.partitions}
        self._reached = {where: log.stable_end for where, log in self._logs.items()}
        self.held = sum(log.end - log.stable_end for log in self._logs.values())
        """Offsets that nobody can read before another producer's transaction ends."""
        self.complete = True
        """False if not all messages were looked at that might have been wanted, as that would have taken too long."""
        self._reader = RecordReader(settings)

    def __enter__(self) -> Peek:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()

    def _chosen(self, logs: Mapping[int, LogBounds]) -> list[int]:
        wanted = self._wanted
        if wanted.partition is None:
            return sorted(logs) if wanted.key is None else [partition_of(wanted.key, len(logs))]
        log = logs.get(wanted.partition)
        if log is None:
            raise PartitionMissing(f"{wanted.topic} has no partition {wanted.partition}: it has 0 to {max(logs)}")
        if wanted.offset is not None and not log.start <= wanted.offset < log.end:
            held = f"it holds {log.start} to {log.end - 1}" if log.end > log.start else f"it is empty, up to {log.end}"
            raise OffsetMissing(f"{log.topic}-{log.partition}: offset {wanted.offset} is not in the log, {held}")
        return [wanted.partition]

    def read(self) -> list[Message]:
        """The messages that are there, the oldest first; errors as `RecordReader.chunks`."""
        found = self._newest() if self._wanted.offset is None else self._first(self._wanted.offset)
        return [self._message(where, record) for where, record in found]

    def follow(self, stop: threading.Event, on_away: Callable[[], object] = lambda: None) -> Iterator[Message]:
        """What comes after what `read` has looked at, until `stop` is set; `on_away`: no broker is connected."""
        while not stop.is_set():
            for chunk in self._reader.chunks(self._reached, seconds=_ROUND_SECONDS, stop=stop):
                where = (chunk.topic, chunk.partition)
                self._reached[where] = chunk.next_offset
                for record in self._matching(chunk.records):
                    yield self._message(where, record)
            if not self._reader.connected:
                on_away()
            self._add_partitions()

    def _add_partitions(self) -> None:
        """Those that the topic has got meanwhile are followed from their beginning: nothing of them was looked at."""
        wanted, count = self._wanted, self._reader.count_partitions(self._wanted.topic)
        if wanted.partition is None and count:
            for number in range(count) if wanted.key is None else (partition_of(wanted.key, count),):
                self._reached.setdefault((wanted.topic, number), 0)

    def _first(self, offset: int) -> list[tuple[Partition, Record]]:
        [(where, end)] = self._reached.items()
        found: list[tuple[Partition, Record]] = []
        self._reached[where] = offset
        for chunk in self._reader.chunks({where: offset}, ends={where: end}, seconds=LOOK_SECONDS):
            found += ((where, record) for record in self._matching(chunk.records))
            self._reached[where] = chunk.next_offset
            if len(found) >= self._wanted.count:
                break
        self.complete = len(found) >= self._wanted.count or self._reached[where] >= end
        if len(found) > self._wanted.count:
            self._reached[where] = found[self._wanted.count][1].offset
        return found[: self._wanted.count]

    def _newest(self) -> list[tuple[Partition, Record]]:
        count, deadline = self._wanted.count, time.monotonic() + LOOK_SECONDS
        looks = {where: _Look(first, self._reached[where]) for where, first in self._firsts().items()}
        narrow = max(count, _FIRST_WINDOW) if self._wanted.key is not None else count
        while count:
            open_looks = {
                where: look for where, look in looks.items() if look.begin > look.first and len(look.matches) < count
            }
            if not open_looks:
                break
            if time.monotonic() > deadline:
                self.complete = False
                break
            self._widen(open_looks, narrow)
        found = [(where, record) for where, look in looks.items() for record in look.matches[-count:] if count]
        return sorted(found, key=lambda each: (each[1].timestamp, each[0], each[1].offset))[-count:] if count else []

    def _firsts(self) -> dict[Partition, int]:
        firsts = {where: log.start for where, log in self._logs.items()}
        if self._wanted.since is not None:
            at = datetime.now(UTC) - timedelta(seconds=self._wanted.since)
            found = offsets_at(self._settings, list(firsts), at)
            return {where: max(first, found.get(where, self._reached[where])) for where, first in firsts.items()}
        return firsts

    def _widen(self, looks: Mapping[Partition, _Look], narrow: int) -> None:
        starts = {where: look.widen(narrow) for where, look in looks.items()}
        older: dict[Partition, list[Record]] = {where: [] for where in looks}
        for chunk in self._reader.chunks(starts, ends={where: look.begin for where, look in looks.items()}):
            older[chunk.topic, chunk.partition] += self._matching(chunk.records)
        for where, look in looks.items():
            look.matches, look.begin = older[where] + look.matches, starts[where]

    def _matching(self, records: Sequence[Record]) -> list[Record]:
        key = self._wanted.key
        return list(records) if key is None else [record for record in records if record.key == key]

    def _message(self, where: Partition, record: Record) -> Message:
        row_id, problem = _decoded(self._kind, record, self._settings.event_timezone)
        headers = sum(len(name) + len(value or b"") for name, value in record.headers)
        return Message(
            topic=where[0],
            partition=where[1],
            offset=record.offset,
            time=record_time(record.timestamp),
            size=len(record.key or b"") + len(record.value or b"") + headers,
            kind=self._kind,
            id=row_id,
            problem=problem,
            key=formatting.readable(record.key),
            value=formatting.readable(record.value),
            key_base64=formatting.base64_text(record.key),
            value_base64=formatting.base64_text(record.value),
            headers=[(formatting.readable(name), formatting.readable(value)) for name, value in record.headers],
        )


def _decoded(kind: Kind | None, record: Record, zone: tzinfo) -> tuple[str | None, str | None]:
    """The id of the event's row, and why it is not an event."""
    if kind is None:
        return None, None if record.value is None else formats.describe(record.value, record.headers)
    try:
        row, _ = CODECS[kind].decode(record.key, record.value, record.timestamp, zone)
    except Malformed as error:
        return None, f"{error.reason}: {explain(error, record.key, record.value, record.headers)}"
    return CODECS[kind].id_of(row), None
