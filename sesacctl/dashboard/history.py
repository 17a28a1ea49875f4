"""The last half hour: the lag as supervisors of this host note it, and rates as this dashboard has seen them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sesacctl.dashboard.look import Look
from sesacctl.errors import CheckFailed
from sesacctl.pipeline.watch.lag_history import EVERY_SECONDS, read_history
from sesacctl.settings import Settings

SECONDS = 1800.0
_RATES = ("refresh", "produce", "broker", "consume", "sink")
_MOST = int(SECONDS / EVERY_SECONDS)
Series = list[tuple[datetime, float]]


class History:
    """Keeps a sample of each tenth second in which somebody looked; those of supervisors are read from their file."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept: deque[tuple[datetime, dict[str, float | None], dict[str, int]]] = deque(maxlen=_MOST)
        self._due = 0.0

    def add(self, look: Look) -> None:
        """Keep what this look says, unless the last was just now."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + EVERY_SECONDS
        rates = {stage["key"]: stage["rate"] for stage in look.top["stages"]}
        lag: dict[str, int] = {}
        for line in look.top["partitions"] or ():
            if line["lag"] is not None:
                lag[line["topic"]] = lag.get(line["topic"], 0) + line["lag"]
        self._kept.append((look.at, rates, lag))

    def read(self) -> dict[str, Any]:
        """`lag` by topic and `rates` by stage, each as pairs of time and value, the oldest first."""
        kept = list(self._kept)
        rates = {key: _series((at, found.get(key)) for at, found, _ in kept) for key in _RATES}
        return {"every": EVERY_SECONDS, "seconds": SECONDS, "lag": self._sampled() or _lag(kept), "rates": rates}

    def _sampled(self) -> dict[str, Series]:
        """What a supervisor of this host has noted, also while nobody looked; nothing if there is none."""
        try:
            samples = read_history(self._settings, SECONDS).samples
        except CheckFailed:
            return {}
        kinds = samples[0].lag
        return {self._settings.topic(kind): [(sample.at, sample.lag[kind]) for sample in samples] for kind in kinds}


def _series(pairs: Iterable[tuple[datetime, float | None]]) -> Series:
    return [(at, value) for at, value in pairs if value is not None]


def _lag(kept: list[tuple[datetime, dict[str, float | None], dict[str, int]]]) -> dict[str, Series]:
    topics = sorted({topic for _, _, lag in kept for topic in lag})
    return {topic: _series((at, lag.get(topic)) for at, _, lag in kept) for topic in topics}
