"""How far PostgreSQL is behind Kafka, partition by partition: the figures of `lag`, `audit` and `health`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from uuid import UUID

from sesacctl.broker.offsets import LogOffsets, looking_at_logs
from sesacctl.broker.transactions import OpenTransaction, open_transactions
from sesacctl.database import row_security
from sesacctl.database.connections import transaction
from sesacctl.events import Kind
from sesacctl.pipeline.sink import offsets
from sesacctl.pipeline.sink.batch import LogMark
from sesacctl.pipeline.sink.counts import Counts, PartitionKey
from sesacctl.pipeline.sink.log_cuts import CutLog, read_open
from sesacctl.pipeline.sink.offsets import StoredPartition
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionProgress:
    """One partition: the log in Kafka, PostgreSQL's offsets and counters, and the group's offset in Kafka.

    `first`, `next` and `mark` are None for a partition that no consumer of the group has taken up yet. Between
    `log_stable_end` and `log_end` are records that wait for the end of another producer's transaction. `cut_log` is the
    verdict that stands on the log. `lag`: offsets that were in the log when it was read, and that PostgreSQL did not
    have a moment later.
    """

    kind: Kind
    topic: str
    topic_id: UUID
    partition: int
    log_start: int
    log_end: int
    log_stable_end: int
    first: int | None
    next: int | None
    kafka_offset: int | None
    counts: Counts
    mark: LogMark | None = None
    cut_log: CutLog | None = None
    lag: int = field(init=False)

    def __post_init__(self) -> None:
        begin = self.log_start if self.next is None else self.next
        object.__setattr__(self, "lag", max(0, self.log_end - begin))

    @property
    def key(self) -> PartitionKey:
        """What `sink_offsets` is keyed by, besides the group."""
        return self.topic_id, self.partition

    @property
    def held(self) -> int:
        """Offsets behind the open transaction of another producer."""
        return max(0, self.log_end - self.log_stable_end)

    @property
    def taken(self) -> int:
        """Offsets that PostgreSQL has moved over."""
        return 0 if self.next is None or self.first is None else self.next - self.first

    @property
    def cut(self) -> int:
        """Offsets that PostgreSQL has and the log no longer: it was truncated, and new records would get them again."""
        return 0 if self.next is None else max(0, self.next - self.log_end)

    @property
    def missing(self) -> int:
        """Offsets moved over that no counter accounts for: anything but 0 is a loss, or a bug."""
        return self.taken - self.counts.offsets


def read_partitions(settings: Settings) -> list[PartitionProgress]:
    """Every partition of the three topics for the group of the settings, as of one moment.

    Kafka's ends are read first: the lag has no part of what is produced until PostgreSQL answers. Where PostgreSQL is
    further by then, Kafka is asked once more whether its log has come as far, or was cut.

    Raises:
        ServerUnreachable: a server cannot be reached.
        ServerRefused: a server refused: wrong credentials or a missing right.
        TopicMissing: one of the topics does not exist.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    group = settings.kafka_group
    with transaction(settings, command="progress") as cursor:
        cursor.connection.autocommit = True  # Kafka is asked meanwhile
        row_security.require_visible(cursor, (offsets.TABLE, "log_cuts"))
        with looking_at_logs(settings) as look:
            return progress_of(cursor, group, look)


def progress_of(
    cursor: extensions.cursor, group: str, look: Callable[[], Sequence[LogOffsets]]
) -> list[PartitionProgress]:
    """`read_partitions`, with what reads the logs, on a connection without a transaction; psycopg2's own errors too.

    `look` may tell of some logs only when it is called again: that one of the others is shorter is not known then.
    """
    logs = look()
    stored, cuts = offsets.read_partitions(cursor, group), read_open(cursor, group)
    ahead = {log.key for log in logs if log.key in stored and stored[log.key].mark.next_offset > log.end}
    later = {log.key: log for log in look()} if ahead else {}
    return [_join(_now(log, stored, later.get(log.key)), stored.get(log.key), cuts.get(log.key)) for log in logs]


def _now(log: LogOffsets, stored: Mapping[PartitionKey, StoredPartition], later: LogOffsets | None) -> LogOffsets:
    """The log when PostgreSQL was read: it ended at least where PostgreSQL was, unless it is shorter still."""
    if log.key not in stored or (reached := stored[log.key].mark.next_offset) <= log.end:
        return log
    if later is None:
        return replace(log, end=reached, stable_end=reached)
    end = min(reached, later.end)
    return replace(later, end=end, stable_end=min(end, later.stable_end))


def held_back(settings: Settings, partitions: Sequence[PartitionProgress]) -> list[OpenTransaction]:
    """The transactions behind which records wait that PostgreSQL does not have; Kafka is asked only if there are some.

    Raises:
        ServerUnreachable: Kafka cannot be reached.
        ServerRefused: Kafka refused: wrong credentials or a missing right.
    """
    held = {(p.topic, p.partition): (p.log_stable_end, p.log_end) for p in partitions if p.lag and p.held}
    return open_transactions(settings, held)


def next_offsets(settings: Settings) -> dict[PartitionKey, int]:
    """PostgreSQL's next offset of every partition that the group has taken up."""
    with transaction(settings, command="progress") as cursor:
        row_security.require_visible(cursor, (offsets.TABLE, "log_cuts"))
        return {
            key: stored.mark.next_offset
            for key, stored in offsets.read_partitions(cursor, settings.kafka_group).items()
        }


def _join(log: LogOffsets, stored: StoredPartition | None, cut: CutLog | None) -> PartitionProgress:
    return PartitionProgress(
        kind=log.kind,
        topic=log.topic,
        topic_id=log.topic_id,
        partition=log.partition,
        log_start=log.start,
        log_end=log.end,
        log_stable_end=log.stable_end,
        first=stored.first_offset if stored else None,
        next=stored.mark.next_offset if stored else None,
        kafka_offset=log.committed,
        counts=stored.counts if stored else Counts(),
        mark=stored.mark if stored else None,
        cut_log=cut,
    )
