"""Latencies in histograms that are cheap to fill, to send between processes and to add up."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from math import ceil

BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Upper bounds of a `Histogram`'s buckets in seconds; above the last one is a bucket without."""
_STEPS = 64


@dataclass(slots=True)
class Histogram:
    """Observations in seconds: how many lie in each bucket of `BOUNDS`, its upper bound included, and their sum."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    sum: float = 0.0

    def observe(self, seconds: float, number: int = 1) -> None:
        """Add `number` observations of the same value; a clock that is ahead counts as 0."""
        seconds = max(0.0, seconds)
        self.counts[bisect_left(BOUNDS, seconds)] += number
        self.sum += seconds * number

    @property
    def mean(self) -> float | None:
        """In seconds; None without observations."""
        number = sum(self.counts)
        return self.sum / number if number else None

    def add(self, other: Histogram) -> None:
        """Add another one's observations to these."""
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]
        self.sum += other.sum

    def copy(self) -> Histogram:
        """The same, to be changed on its own."""
        return Histogram(self.counts.copy(), self.sum)

    def cumulative(self) -> Iterator[tuple[float, int]]:
        """Each upper bound, and how many observations are not above it; the last one is infinity."""
        return zip((*BOUNDS, float("inf")), accumulate(self.counts), strict=True)


@dataclass(slots=True)
class Latency:
    """Milliseconds, exact below 64 ms, above within 1/64 of the value; and the same in a `Histogram`, in seconds."""

    buckets: Counter[int] = field(default_factory=Counter)
    histogram: Histogram = field(default_factory=Histogram)

    def observe(self, now_ms: float, timestamps_ms: Iterable[int]) -> None:
        """Add `now_ms - timestamp` for each timestamp; a clock that is ahead counts as 0."""
        for at, number in Counter(timestamps_ms).items():
            self.buckets[_round(now_ms - at)] += number
            self.histogram.observe((now_ms - at) / 1000, number)

    def add(self, other: Latency) -> None:
        """Add another one's observations to these."""
        self.buckets.update(other.buckets)
        self.histogram.add(other.histogram)

    def copy(self) -> Latency:
        """The same, to be changed on its own."""
        return Latency(self.buckets.copy(), self.histogram.copy())

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
