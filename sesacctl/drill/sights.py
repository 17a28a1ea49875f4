"""What one look at a part of the loop has seen; times are by the monotonic clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sesacctl.pipeline.sink.counts import Counts, PartitionKey


@dataclass(frozen=True, slots=True)
class DatabaseLook:
    """PostgreSQL's next offsets and counters; None if it does not answer."""

    at: float
    offsets: Mapping[PartitionKey, int] | None
    counts: Counts = field(default_factory=Counts)


@dataclass(frozen=True, slots=True)
class CacheLook:
    """Rows in the cache and its generation; None if Redis does not answer."""

    at: float
    rows: int | None
    generation: int | None = None


@dataclass(frozen=True, slots=True)
class KafkaLook:
    """Brokers in service, partitions whose copies are not all in sync, ends of the logs, members of the group.

    Each is None if Kafka does not tell. The ends are not older than `asked_at`.
    """

    at: float
    asked_at: float
    brokers: int | None = None
    out_of_sync: int | None = None
    ends: Mapping[PartitionKey, int] | None = None
    members: int | None = None


@dataclass(frozen=True, slots=True)
class ProcessLook:
    """How many instances run on this machine."""

    at: float
    instances: int


Look = DatabaseLook | CacheLook | KafkaLook | ProcessLook
