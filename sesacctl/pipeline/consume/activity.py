"""What instances have done, in figures that only grow: each sends what is new, and the supervisor adds it up.

So a counter does not fall when an instance is started again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sesacctl.pipeline.sink.counts import COUNTERS, Counts, PartitionKey
from sesacctl.pipeline.sink.measures import Measures


@dataclass(slots=True)
class Activity:
    """`events` by topic and what became of them, `retries` of steps by the class of the error that undid them.

    `fences` are steps that found PostgreSQL's offset moved, `rebalances` the assignments that were taken up.
    """

    events: Counter[tuple[str, str]] = field(default_factory=Counter)
    retries: Counter[str] = field(default_factory=Counter)
    fences: int = 0
    rebalances: int = 0
    measures: Measures = field(default_factory=Measures)

    def begin(self, topics: Iterable[str]) -> None:
        """Count from 0 what has not happened yet: a rate needs a value before the first event."""
        self.events.update({(topic, outcome): 0 for topic in topics for outcome in COUNTERS})

    def count(self, topic: str, counts: Counts) -> None:
        """Add what became of a topic's events. Those that are parked no longer are not taken off."""
        for name in COUNTERS:
            if (number := getattr(counts, name)) > 0:
                self.events[topic, name] += number

    def count_step(self, stored: Mapping[PartitionKey, Counts], topic_of: Mapping[PartitionKey, str]) -> None:
        """Add what became of the events of a step."""
        for key, counts in stored.items():
            self.count(topic_of[key], counts)

    def take_measures(self, measures: Measures) -> None:
        """Take what a sink has measured, which begins again there."""
        self.measures = measures.take()
        for topic, offsets in self.measures.expired.items():
            self.count(topic, Counts(expired=offsets))

    def add(self, other: Activity) -> None:
        """Add another one's figures to these."""
        self.events.update(other.events)
        self.retries.update(other.retries)
        self.fences += other.fences
        self.rebalances += other.rebalances
        self.measures.add(other.measures)

    def copy(self) -> Activity:
        """The same, to be changed on its own."""
        copied = Activity()
        copied.add(self)
        return copied
