"""The stages of the loop in a drill: the lines of its timeline, and how each stage came through."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Stage(StrEnum):
    """A line of the timeline belongs to the fault itself, or to a part of the loop."""

    FAULT = "fault"
    DATABASE = "database"
    CACHE = "cache"
    PRODUCER = "producer"
    BROKERS = "brokers"
    CONSUMERS = "consumers"
    ROWS = "rows"


STAGES = tuple(stage for stage in Stage if stage is not Stage.FAULT)


@dataclass(frozen=True, slots=True)
class Moment:
    """One line: `seconds` since the fault."""

    seconds: float
    stage: Stage
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StageRecovery:
    """A stage: how often and for how long in all it did not work, and when it worked again for good, after the fault.

    `back_after` is None if it never stopped, or did not come back: then `works` is False.
    """

    stage: Stage
    works: bool
    outages: int
    seconds: float
    back_after: float | None


@dataclass(slots=True)
class State:
    """Whether a stage works, and since when it does not."""

    stage: Stage
    down_since: float | None = None
    outages: list[tuple[float, float]] = field(default_factory=list)

    def put(self, at: float, *, works: bool, since: float | None = None) -> bool:
        """Whether that is new. `since`: it did not work before it was seen."""
        if works == (self.down_since is None):
            return False
        if works and self.down_since is not None:
            self.outages.append((self.down_since, at))
            self.down_since = None
        else:
            self.down_since = at if since is None else since
        return True

    def recovery(self, began: float, at: float) -> StageRecovery:
        """How it came through a fault that began then, as known now."""
        outages = [each for each in self.outages if each[1] > began]
        down = 0.0 if self.down_since is None else at - max(began, self.down_since)
        return StageRecovery(
            stage=self.stage,
            works=self.down_since is None,
            outages=len(outages) + (self.down_since is not None),
            seconds=round(sum(end - max(began, start) for start, end in outages) + down, 1),
            back_after=round(outages[-1][1] - began, 1) if outages and self.down_since is None else None,
        )
