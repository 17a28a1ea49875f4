"""Looks of the dashboard at observations that are made up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sesacctl.dashboard.look import Look, Looker
from sesacctl.pipeline.watch.observation import Observation
from sesacctl.settings import load
from tests.helpers.observations import GOOD


class Counted:
    """Observes one made-up state after the other, a second apart, and counts how often it was asked."""

    def __init__(self, seen: Callable[[int], Observation] = lambda _: GOOD) -> None:
        self._seen = seen
        self.asked = 0

    def __call__(self) -> Observation:
        self.asked += 1
        return replace(self._seen(self.asked), at=GOOD.at + self.asked)


def looker(seen: Callable[[int], Observation] = lambda _: GOOD) -> Looker:
    """Looks at these observations; no aging is read."""
    return Looker(load(kafka_group="shop"), observe=Counted(seen), aging=lambda _: None)


def looks(*seen: Observation) -> list[Look]:
    """What is shown at these observations, a second apart."""
    made = looker()
    return [made.look(replace(each, at=GOOD.at + number)) for number, each in enumerate(seen)]
