"""For how long the oldest event not in PostgreSQL has been waiting: its record tells, its offset does not."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from sesacctl.broker.records import RecordReader
from sesacctl.errors import SesacctlError
from sesacctl.pipeline.audit.partitions import PartitionProgress
from sesacctl.pipeline.sink.counts import PartitionKey
from sesacctl.settings import Settings

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
    wanted = {(part.topic, part.partition): part for part in partitions if part.lag and _is_readable(part)}
    if not wanted:
        return ages
    starts = {where: _start(part) for where, part in wanted.items()}
    ends = {where: part.log_stable_end for where, part in wanted.items()}
    # A log that is cut meanwhile, a batch that nobody can read: the others are known all the same.
    with RecordReader(settings, partition_bytes=_FEW_BYTES) as reader, suppress(SesacctlError):
        for where, record in reader.firsts(starts, ends=ends, seconds=seconds):
            if record is None:  # control records alone
                ages[wanted[where].key] = 0.0
            elif record.timestamp >= 0:
                ages[wanted[where].key] = max(0.0, time.time() - record.timestamp / 1000)
    return ages


def _start(part: PartitionProgress) -> int:
    return max(part.log_start, part.log_start if part.next is None else part.next)


def _is_readable(part: PartitionProgress) -> bool:
    return not part.cut and _start(part) < part.log_stable_end
