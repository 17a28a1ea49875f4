"""Moving a group's offsets in PostgreSQL by a person's decision: to consume again, to skip, or to accept a cut log."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from uuid import UUID

from sesacctl.broker.offsets import offsets_at
from sesacctl.database.connections import transaction
from sesacctl.errors import PartitionMissing
from sesacctl.events import Kind
from sesacctl.pipeline.audit.log_identity import LOOK_SECONDS, find_cuts
from sesacctl.pipeline.audit.partitions import PartitionProgress, read_partitions
from sesacctl.pipeline.audit.row_counts import select_row_counts
from sesacctl.pipeline.repair import targets
from sesacctl.pipeline.sink import log_cuts, offsets
from sesacctl.pipeline.sink.counts import PartitionKey
from sesacctl.pipeline.sink.log_cuts import CutLog
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One partition's move; `before` is None if the group has not taken it up yet.

    `given_up` offsets are in the log now and will never be stored, `again` ones were stored and will be read again.
    `cut` is the verdict that no longer stands afterwards.
    """

    kind: Kind
    topic: str
    topic_id: UUID
    partition: int
    before: int | None
    after: int
    given_up: int
    again: int
    cut: CutLog | None

    @property
    def key(self) -> PartitionKey:
        """What `sink_offsets` is keyed by, besides the group."""
        return self.topic_id, self.partition


def plan(settings: Settings, kinds: Sequence[Kind], start: str, *, numbers: Sequence[int] = ()) -> list[Move]:
    """Where `start` is in each partition, kept within the log; `numbers`: only in these partitions of each topic.

    `start` is as `targets.parse` reads it: `earliest`, `latest`, a time, how long ago, or an offset.

    Raises:
        UsageError: `start` is something else.
        PartitionMissing: a topic has no partition of one of these numbers.
        ServerUnreachable: a server cannot be reached.
        ServerRefused: a server refused: wrong credentials or a missing right.
        TopicMissing: one of the topics does not exist.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    target = targets.parse(start, datetime.now(UTC))
    partitions = choose(read_partitions(settings), kinds, numbers)
    if isinstance(target, datetime):
        found = offsets_at(settings, [(part.topic, part.partition) for part in partitions], target)
        places = [found.get((part.topic, part.partition), part.log_end) for part in partitions]
    elif isinstance(target, int):
        places = [target] * len(partitions)
    else:
        places = [part.log_start if target == targets.EARLIEST else part.log_end for part in partitions]
    cuts = find_cuts(settings, partitions, seconds=LOOK_SECONDS)
    moves = [_move(part, place, cuts.get(part.key)) for part, place in zip(partitions, places, strict=True)]
    return [move for move in moves if move.before != move.after or move.cut]


def choose(
    partitions: Sequence[PartitionProgress], kinds: Sequence[Kind], numbers: Sequence[int]
) -> list[PartitionProgress]:
    """Those of the topics of these kinds; only the `numbers` of each, if there are some.

    Raises:
        PartitionMissing: a topic has no partition of one of these numbers.
    """
    wanted = [part for part in partitions if part.kind in kinds]
    for topic in dict.fromkeys(part.topic for part in wanted):
        there = [part.partition for part in wanted if part.topic == topic]
        for number in numbers:
            if number not in there:
                raise PartitionMissing(
                    f"{topic} has no partition {number}: it has 0 to {max(there)}",
                    hint="sesacctl offsets show",
                )
    return [part for part in wanted if not numbers or part.partition in numbers]


def plan_cuts(settings: Settings) -> list[Move]:
    """Where reading begins again in logs that were cut: where they differ, or at their start if that is not known.

    Raises:
        ServerUnreachable: a server cannot be reached.
        ServerRefused: a server refused: wrong credentials or a missing right.
        TopicMissing: one of the topics does not exist.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    partitions = read_partitions(settings)
    cuts = find_cuts(settings, partitions, seconds=LOOK_SECONDS)
    return [
        _move(part, part.log_start if cut.diverged_at is None else min(cut.diverged_at, cut.next_offset), cut)
        for part in partitions
        if (cut := cuts.get(part.key))
    ]


def _move(part: PartitionProgress, target: int, cut: CutLog | None) -> Move:
    after = min(max(target, part.log_start), part.log_end)
    begin = part.log_start if part.next is None else max(part.next, part.log_start)
    # What lies below PostgreSQL's offset in a log that was cut has never been stored, as far as it differs.
    if cut is not None:
        begin = part.log_start if cut.diverged_at is None else min(begin, cut.diverged_at)
    return Move(
        kind=part.kind,
        topic=part.topic,
        topic_id=part.topic_id,
        partition=part.partition,
        before=part.next,
        after=after,
        given_up=max(0, after - begin),
        again=max(0, min(begin, part.log_end) - after),
        cut=cut,
    )


def _carry_rows_over(cursor: extensions.cursor, settings: Settings, moves: Sequence[Move]) -> None:
    """What was stored stays in the audit's count of rows, and what is gone by now does not: it may be read again."""
    for kind in {move.kind for move in moves}:
        gone = select_row_counts(cursor, settings, kind).gone
        stored = offsets.count_stored(cursor, settings.kafka_group, [move.key for move in moves if move.kind == kind])
        changes = {"offsets reset": stored, "gone before a reset": -gone}
        for reason, change in changes.items():
            if change:
                cursor.execute(
                    "INSERT INTO row_changes (table_name, change, reason) VALUES (%s, %s, %s)", (kind, change, reason)
                )


def move(settings: Settings, moves: Sequence[Move]) -> None:
    """Carry a plan out in one transaction. The counters begin again, so that an audit holds from there on.

    Records that were kept from before are in no counter any more; the rows that were stored stay in the audit's count.
    Verdicts on these logs are accepted. Consumers that run notice within five seconds and continue from there.

    Raises:
        ServerUnreachable: PostgreSQL cannot be reached; nothing was moved, unless it was lost during the commit.
        ServerRefused: wrong credentials or a missing right; nothing was moved.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs; nothing was moved.
    """
    group, keys = settings.kafka_group, tuple(move.key for move in moves)
    if not keys:
        return
    with transaction(settings, command="offsets-reset", commit=True) as cursor:
        offsets.lock(cursor, group, keys)
        _carry_rows_over(cursor, settings, moves)
        offsets.reset(cursor, group, {move.key: (move.topic, move.after) for move in moves})
        for table in ("dead_letters", "parked_events"):
            cursor.execute(
                f"UPDATE {table} SET counted = false"
                " WHERE consumer_group = %s AND (topic_id, partition) IN %s AND counted",
                (group, keys),
            )
        log_cuts.accept(cursor, group, keys)
