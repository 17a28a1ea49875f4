"""Which records of one user are still in Kafka, and until when retention keeps them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sesacctl.broker.sender import partition_of
from sesacctl.broker.topic_state import Retention
from sesacctl.broker.topics import retentions
from sesacctl.events import ORDERS, USERS, record_time
from sesacctl.pipeline.audit.partitions import PartitionProgress, read_partitions
from sesacctl.pipeline.audit.reread import Log
from sesacctl.settings import Settings

MOST_NAMED = 100
OnRead = Callable[[int, int], None]
"""Gets how many offsets were read, and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaCopies:
    """One partition's records with one key: `offsets` has the first hundred, `last` the last one.

    `newest` is the time of the newest of them. `expires` is when retention lets go of it, if no record beside it has a
    later time; None where records do not expire by time: `retention` says why.
    """

    topic: str
    partition: int
    records: int
    last: int | None
    offsets: list[int]
    newest: datetime | None
    expires: datetime | None
    retention: str


def find_copies(settings: Settings, user_id: str, *, on_read: OnRead = lambda _done, _all: None) -> list[KafkaCopies]:
    """The records of `orders` and `users` with this key, in the partitions where Kafka's own partitioner puts it.

    Each is read from its start to its end; what is behind another producer's open transaction cannot be read.

    Raises:
        ServerUnreachable: a server cannot be reached.
        ServerRefused: a server refused: wrong credentials or a missing right.
        TopicMissing: one of the topics does not exist.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    key = user_id.encode()
    wanted = _partitions_of(settings, key)
    found: dict[tuple[str, int], _Found] = {(part.topic, part.partition): _Found() for part in wanted}
    total, done = sum(part.taken for part in wanted), 0
    for part, records in Log(settings, wanted).chunks():
        for record in records:
            if record.key == key:
                found[part.topic, part.partition].add(record.offset, record.timestamp)
        done += len(records)
        on_read(done, max(total, done))
    kept = retentions(settings)
    return [_copies(part, found[part.topic, part.partition], kept[part.topic]) for part in wanted]


def _partitions_of(settings: Settings, key: bytes) -> list[PartitionProgress]:
    """The key's partition of each of the two topics, as if it were consumed as a whole."""
    by_kind = {kind: [part for part in read_partitions(settings) if part.kind == kind] for kind in (USERS, ORDERS)}
    chosen = [parts[partition_of(key, len(parts))] for parts in by_kind.values()]
    return [replace(part, first=part.log_start, next=part.log_stable_end) for part in chosen]


class _Found:
    def __init__(self) -> None:
        self.records, self.newest = 0, -1
        self.offsets: list[int] = []
        self.last: int | None = None

    def add(self, offset: int, timestamp: int) -> None:
        self.records += 1
        self.last, self.newest = offset, max(self.newest, timestamp)
        if len(self.offsets) < MOST_NAMED:
            self.offsets.append(offset)


def _copies(part: PartitionProgress, found: _Found, kept: Retention) -> KafkaCopies:
    newest = record_time(found.newest)
    expires = newest and kept.milliseconds is not None and newest + timedelta(milliseconds=kept.milliseconds)
    return KafkaCopies(
        topic=part.topic,
        partition=part.partition,
        records=found.records,
        last=found.last,
        offsets=found.offsets,
        newest=newest,
        expires=expires or None,
        retention=kept.sentence,
    )
