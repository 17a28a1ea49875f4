"""The storm itself: rounds of faults on a running loop, each watched until the loop stores again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random
from threading import Event

import psycopg2
from confluent_kafka import KafkaException
from redis import RedisError

from tests.faults.fault import Fault, Kind, Scene
from tests.faults.plan import Planned, rounds
from tests.faults.sampler import Watch
from tests.helpers.waiting import wait_until

STUCK_SECONDS = 180.0
_AWAY = (psycopg2.Error, KafkaException, RedisError)


@dataclass(slots=True)
class Struck:
    """A fault that was had: times in seconds, from its begin (or its end, for what is stopped) to rows stored after.

    `first` is the first row, `whole` when every partition of `orders` has stored one; None if that was not seen within
    `STUCK_SECONDS`. `alone`: no other fault was there at the time.
    """

    kind: str
    target: str
    began: float
    alone: bool
    first: float | None = None
    whole: float | None = None


@dataclass(slots=True)
class Weather:
    """All faults of a storm, and those after which the loop stood still."""

    struck: list[Struck] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)


class _Running:
    """A planned fault on its way."""

    def __init__(self, scene: Scene, planned: Planned) -> None:
        self.planned, self._scene = planned, scene
        self.fault: Fault = planned.kind.make(scene, Random(planned.seed))
        self.watch: Watch | None = None
        self.at = self.until = 0.0
        self.missed = ""

    def inject(self) -> None:
        self.at = time.time()
        try:
            self.fault.inject()
        except _AWAY as error:  # the other fault of the round has the server that this one asks
            self.missed = f"{type(error).__name__}: {error}".strip()
        if not self.planned.kind.from_heal:
            self.watch = self._scene.sampler.watch(self.at)

    def heal(self) -> None:
        began = time.time()
        with suppress(*_AWAY if self.missed else ()):
            self.fault.heal()
        if self.planned.kind.from_heal:
            self.watch = self._scene.sampler.watch(began)
        self.until = time.time()


def blow(
    scene: Scene, seed: int, kinds: Sequence[Kind], *, stop: Callable[[Weather], bool], pause: float = 1.0,
    longest_hold: float = float("inf"), said: Callable[[str], None] = lambda _text: None,
) -> Weather:  # fmt: skip
    """Rounds of faults until `stop` says so, or the loop stands still."""
    weather = Weather()
    between = Random(seed)
    for number, planned in enumerate(rounds(seed, kinds, longest_hold), 1):
        if stop(weather):
            break
        _round(scene, number, planned, weather, said)
        if weather.stuck:
            break
        Event().wait(pause * (0.5 + between.random()))
    return weather


def _round(
    scene: Scene, number: int, planned: Sequence[Planned], weather: Weather, said: Callable[[str], None]
) -> None:
    began = time.monotonic()
    running = [_Running(scene, each) for each in planned]
    due = sorted(
        [(each.planned.begins, 0, n, each.inject) for n, each in enumerate(running)]
        + [(each.planned.ends, 1, n, each.heal) for n, each in enumerate(running)]
    )
    for seconds, _, _, action in due:
        Event().wait(max(0.0, began + seconds - time.monotonic()))
        action()
    try:
        wait_until(lambda: all(each.watch and each.watch.all_seconds is not None for each in running), STUCK_SECONDS)
    except AssertionError:
        weather.stuck.append(f"round {number}: " + " and ".join(each.planned.kind.name for each in running))
    for each in running:
        assert each.watch is not None
        if each.missed:
            scene.site.timeline.note(round=number, missed=each.planned.kind.name, reason=each.missed)
            said(f"{number:4} {each.planned.kind.name:24} could not be had: {each.missed}")
            continue
        struck = Struck(
            each.planned.kind.name, each.fault.target, each.at, len(running) == 1,
            each.watch.first_seconds, each.watch.all_seconds,
        )  # fmt: skip
        weather.struck.append(struck)
        scene.site.timeline.note(
            round=number, fault=struck.kind, target=struck.target, began=round(each.at - scene.site.timeline.began, 3),
            end=round(each.until - scene.site.timeline.began, 3), first_row=_rounded(struck.first),
            all_partitions=_rounded(struck.whole), alone=struck.alone,
        )  # fmt: skip
        said(f"{number:4} {struck.kind:24} {struck.target:32} {_shown(struck.first)} {_shown(struck.whole)}")


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def _shown(seconds: float | None) -> str:
    return "   never" if seconds is None else f"{seconds:6.1f} s"
