"""For how long the oldest event not in PostgreSQL has been waiting: its record tells, its offset does not."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kafka import TopicPartition
from kafka.errors import KafkaError

from sesacctl.broker import clients
from sesacctl.pipeline.audit.partitions import PartitionProgress
from sesacctl.pipeline.sink.counts import PartitionKey
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from sesacctl.broker.consumer_like import ConsumerLike

POLL_MS = 200
_FEW_BYTES = 4_096  # a whole batch comes all the same


def lag_seconds(
    settings: Settings, partitions: Sequence[PartitionProgress], *, seconds: float
) -> dict[PartitionKey, float]:
    """Of each partition the age of the first event that is not stored, by its record's time; 0 where none waits.

    Those that cannot be known are left out: within `seconds` the record was not read, it has no time, or it waits for
    another producer's transaction.

    Raises:
        ServerUnreachable: no broker answers in time.
        ServerRefused: authentication or authorization failed.
    """
    ages = {part.key: 0.0 for part in partitions if not part.lag}
    wanted = {
        TopicPartition(part.topic, part.partition): part for part in partitions if part.lag and _is_readable(part)
    }
    if not wanted:
        return ages
    with clients.translate_errors(settings):
        found = _first_times(settings, wanted, seconds)
    now = time.time()
    for tp, timestamp_ms in found.items():
        if timestamp_ms is None:  # control records alone
            ages[wanted[tp].key] = 0.0
        elif timestamp_ms >= 0:
            ages[wanted[tp].key] = max(0.0, now - timestamp_ms / 1000)
    return ages


def _start(part: PartitionProgress) -> int:
    return max(part.log_start, part.log_start if part.next is None else part.next)


def _is_readable(part: PartitionProgress) -> bool:
    return not part.cut and _start(part) < part.log_stable_end


def _first_times(
    settings: Settings, wanted: Mapping[TopicPartition, PartitionProgress], seconds: float
) -> dict[TopicPartition, int | None]:
    """The time of the first record from PostgreSQL's offset on; None if there is no record before the stable end."""
    deadline = time.monotonic() + seconds
    found: dict[TopicPartition, int | None] = {}
    consumer: ConsumerLike = clients.consumer(settings, group_instance_id=None, partition_bytes=_FEW_BYTES)
    try:
        consumer.assign(list(wanted))
        for tp, part in wanted.items():
            clients.seek(consumer, tp, _start(part), None)
        while len(found) < len(wanted) and time.monotonic() < deadline:
            try:
                polled = consumer.poll(timeout_ms=POLL_MS)
            except KafkaError:  # records that expired meanwhile, a leader that moves: the others are known all the same
                break
            for tp, records in polled.items():
                found.setdefault(tp, records[0].timestamp)
            for tp, part in wanted.items():
                position = clients.position(consumer, tp)
                if tp not in found and position is not None and position >= part.log_stable_end:
                    found[tp] = None
            if found:
                consumer.pause(*found)
    finally:
        consumer.close(autocommit=False)
    return found
