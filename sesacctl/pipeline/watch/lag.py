"""How far behind the group is, whether it is catching up, and how long that will take."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from sesacctl.broker import groups
from sesacctl.broker.groups import Place
from sesacctl.broker.transactions import OpenTransaction
from sesacctl.pipeline.audit.partitions import PartitionProgress, held_back, read_partitions
from sesacctl.settings import Settings


class LagVerdict(StrEnum):
    """`ok`: none, or it shrinks; `growing`: more comes than is stored; `stalled`: nothing is stored."""

    OK = "ok"
    GROWING = "growing"
    STALLED = "stalled"


@dataclass(frozen=True, slots=True, kw_only=True)
class LagReport:
    """Lag in offsets; rates per second over `window` seconds; `drain_seconds` is None while it does not shrink.

    `held_back`: the part of it that cannot be read yet, and why. `places`: which member of which host has what.
    """

    group: str
    verdict: LagVerdict
    lag: int
    window: float
    produced_rate: float
    stored_rate: float
    drain_seconds: float | None
    partitions: list[PartitionProgress]
    held_back: list[OpenTransaction]
    places: list[Place]


class LagMeter:
    """Takes samples and compares each with the oldest one of the last `window` seconds."""

    def __init__(self, settings: Settings, *, window: float, first: float) -> None:
        """`first`: over how many seconds the first rates are."""
        self._settings = settings
        self._first = first
        self._window = window
        self._samples: deque[tuple[float, int, int]] = deque()

    def read(self, wait: Callable[[float], object]) -> LagReport:
        """The lag now. The first time, with some lag, `wait` is called with `first`, and a second sample taken.

        Raises:
            ServerUnreachable: PostgreSQL or Kafka is away.
            ServerRefused: PostgreSQL or Kafka refused the login, or rights are missing.
            TopicMissing: one of the three does not exist.
            SchemaNotAtHead: a table or column is missing.
            DatabaseMissing: PostgreSQL has no such database.
        """
        partitions = self._sample()
        if len(self._samples) == 1 and any(part.lag for part in partitions):
            wait(self._first)
            partitions = self._sample()
        return self._report(partitions)

    def _sample(self) -> list[PartitionProgress]:
        partitions = read_partitions(self._settings)
        now = time.monotonic()
        ends = sum(part.log_end for part in partitions)
        self._samples.append((now, ends, ends - sum(part.lag for part in partitions)))
        while len(self._samples) > 2 and now - self._samples[1][0] >= self._window:
            self._samples.popleft()
        return partitions

    def _report(self, partitions: list[PartitionProgress]) -> LagReport:
        (first, ends, stored), (last, ends_now, stored_now) = self._samples[0], self._samples[-1]
        seconds = last - first
        produced_rate = (ends_now - ends) / seconds if seconds else 0.0
        stored_rate = (stored_now - stored) / seconds if seconds else 0.0
        lag = ends_now - stored_now
        verdict, drain = lag_verdict(lag, produced_rate, stored_rate)
        return LagReport(
            group=self._settings.kafka_group,
            verdict=verdict,
            lag=lag,
            window=round(seconds, 1),
            produced_rate=round(produced_rate, 1),
            stored_rate=round(stored_rate, 1),
            drain_seconds=drain,
            partitions=partitions,
            held_back=held_back(self._settings, partitions),
            places=list(groups.places(self._settings)),
        )


def lag_verdict(lag: int, produced_rate: float, stored_rate: float) -> tuple[LagVerdict, float | None]:
    """The verdict, and the seconds until the lag is gone at these rates."""
    if lag <= 0:
        return LagVerdict.OK, 0.0
    if stored_rate <= 0:
        return LagVerdict.STALLED, None
    if stored_rate <= produced_rate:
        return LagVerdict.GROWING, None
    return LagVerdict.OK, round(lag / (stored_rate - produced_rate), 1)
