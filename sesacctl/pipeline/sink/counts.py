"""What became of a partition's offsets: the counters of `sink_offsets`, which together account for every offset."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args
from uuid import UUID

Counter = Literal["stored", "duplicates", "dead", "parked", "expired", "control"]
COUNTERS: tuple[Counter, ...] = get_args(Counter)

PartitionKey = tuple[UUID, int]
"""Topic id and number of a partition: what `sink_offsets` is keyed by, besides the group."""


@dataclass(slots=True)
class Counts:
    """What became of the offsets of one partition, as in `sink_offsets`, and how many events had unknown fields.

    `ahead`: how many events, stored or not, have a time that is later than their record's by over an hour.
    """

    stored: int = 0
    duplicates: int = 0
    dead: int = 0
    parked: int = 0
    expired: int = 0
    control: int = 0
    unknown_fields: int = 0
    ahead: int = 0

    def add(self, other: Counts) -> None:
        """Add another's figures to these."""
        for entry in fields(self):
            setattr(self, entry.name, getattr(self, entry.name) + getattr(other, entry.name))

    def move(self, origin: Counter, to: Counter) -> None:
        """Count one offset less as `origin` and one more as `to`."""
        setattr(self, origin, getattr(self, origin) - 1)
        setattr(self, to, getattr(self, to) + 1)

    @property
    def offsets(self) -> int:
        """How many offsets these figures account for."""
        return sum(getattr(self, name) for name in COUNTERS)
