"""Latencies in a histogram that is cheap to fill, to send between processes and to add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil

_STEPS = 64


@dataclass(slots=True)
class Latency:
    """Milliseconds, exact below 64 ms, above within 1/64 of the value."""

    buckets: Counter[int] = field(default_factory=Counter)

    def observe(self, now_ms: float, timestamps_ms: Iterable[int]) -> None:
        """Add `now_ms - timestamp` for each timestamp; a clock that is ahead counts as 0."""
        for at, number in Counter(timestamps_ms).items():
            self.buckets[_round(now_ms - at)] += number

    def add(self, other: Latency) -> None:
        """Add another histogram to this one."""
        self.buckets.update(other.buckets)

    def percentile(self, percent: float) -> float | None:
        """The nearest-rank percentile in milliseconds; None without observations."""
        total = self.buckets.total()
        rank = max(1, ceil(total * percent / 100))
        for value in sorted(self.buckets):
            rank -= self.buckets[value]
            if rank <= 0:
                return float(value)
        return None


def _round(milliseconds: float) -> int:
    value = max(0, int(milliseconds))
    shift = max(0, value.bit_length() - _STEPS.bit_length())
    return value >> shift << shift
