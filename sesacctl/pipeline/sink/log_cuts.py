"""Verdicts that a log was cut: kept in PostgreSQL, through restarts and until a person accepts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from sesacctl.errors import LogCut
from sesacctl.pipeline.sink.counts import PartitionKey

if TYPE_CHECKING:
    from psycopg2 import extensions


@dataclass(frozen=True, slots=True, kw_only=True)
class CutLog:
    """A log that is not the one that was read.

    `next_offset` is PostgreSQL's, `diverged_at` the first offset that differs, None if that is not known; `found_at` is
    None for what is not in PostgreSQL yet.
    """

    next_offset: int
    diverged_at: int | None
    detail: str
    found_at: datetime | None = None


def cut_log(next_offset: int, found: str, diverged_at: int | None) -> CutLog:
    """A verdict in words; `found` says what the log shows instead."""
    if diverged_at is not None:
        found += f"; by its leader epochs it differs from offset {diverged_at} on"
    detail = f"the log is not the one that was stored up to offset {next_offset}: {found}"
    return CutLog(next_offset=next_offset, diverged_at=diverged_at, detail=detail)


class CutFound(Exception):
    """What a consumer has seen just now, to be kept before anybody is told."""

    def __init__(self, topic: str, key: PartitionKey, cut: CutLog) -> None:
        super().__init__(topic, key, cut)
        self.topic, self.key, self.cut = topic, key, cut


def stops(topic: str, partition: int, cut: CutLog) -> LogCut:
    """The error for a verdict that stands."""
    return LogCut(f"{topic}-{partition}: {cut.detail}")


def read_open(cursor: extensions.cursor, group: str) -> dict[PartitionKey, CutLog]:
    """The verdicts of a group that stand, by topic id and partition."""
    cursor.execute(
        "SELECT topic_id, partition, next_offset, diverged_at, detail, found_at FROM log_cuts"
        " WHERE consumer_group = %s AND accepted_at IS NULL",
        (group,),
    )
    return {
        (row[0], row[1]): CutLog(next_offset=row[2], diverged_at=row[3], detail=row[4], found_at=row[5])
        for row in cursor.fetchall()
    }


def record(cursor: extensions.cursor, group: str, topic: str, key: PartitionKey, cut: CutLog) -> None:
    """Keep a verdict; the first one that stands for a partition is the one that counts."""
    cursor.execute(
        "INSERT INTO log_cuts (consumer_group, topic, topic_id, partition, next_offset, diverged_at, detail)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)"
        " ON CONFLICT (consumer_group, topic_id, partition) WHERE accepted_at IS NULL DO NOTHING",
        (group, topic, *key, cut.next_offset, cut.diverged_at, cut.detail),
    )


def accept(cursor: extensions.cursor, group: str, keys: Sequence[PartitionKey]) -> None:
    """A person has decided: the verdicts on these partitions stand no longer."""
    cursor.execute(
        "UPDATE log_cuts SET accepted_at = now()"
        " WHERE consumer_group = %s AND (topic_id, partition) IN %s AND accepted_at IS NULL",
        (group, tuple(keys)),
    )
