"""How long the parts of the sink's steps take, and what it refuses: figures that are added up elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Literal, get_args

from sesacctl.events import Reason
from sesacctl.pipeline.latency import Histogram
from sesacctl.pipeline.sink.batch import Refusal
from sesacctl.pipeline.sink.sqlstates import Failure

Part = Literal["fence", "copy", "slow_path", "commit"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(slots=True)
class Measures:
    """Of each part of a step that went well its seconds.

    `read_to_commit` has the time from the poll, of each record. `dead` has dead letters by topic and reason,
    `expired` the offsets that were passed over because they had expired.
    """

    seconds: dict[Part, Histogram] = field(default_factory=lambda: {part: Histogram() for part in PARTS})
    slow_paths: int = 0
    read_to_commit: Histogram = field(default_factory=Histogram)
    dead: Counter[tuple[str, str]] = field(default_factory=Counter)
    expired: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def timed(self, part: Part) -> Iterator[None]:
        """Observe how long the block takes, unless it raises."""
        began = monotonic()
        yield
        self.seconds[part].observe(monotonic() - began)

    def count_dead(self, topic: str, reason: Reason) -> None:
        """A dead letter was kept."""
        self.dead[topic, reason.value] += 1

    def count_refusals(self, refusals: Sequence[Refusal]) -> None:
        """Those among what a step refused that are dead letters now."""
        for refusal in refusals:
            if refusal.failure in (Failure.DATA, Failure.CONFLICT):
                self.count_dead(refusal.batch.topic, refusal.reason)

    def add(self, other: Measures) -> None:
        """Add another one's figures to these."""
        for part, histogram in other.seconds.items():
            self.seconds[part].add(histogram)
        self.slow_paths += other.slow_paths
        self.read_to_commit.add(other.read_to_commit)
        self.dead.update(other.dead)
        self.expired.update(other.expired)

    def take(self) -> Measures:
        """The figures so far; they begin again here."""
        taken, fresh = replace(self), Measures()
        self.seconds, self.slow_paths, self.read_to_commit = fresh.seconds, fresh.slow_paths, fresh.read_to_commit
        self.dead, self.expired = fresh.dead, fresh.expired
        return taken
