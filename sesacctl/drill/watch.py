"""Looks turned into a timeline, until something is reached, the time is up, or somebody presses Ctrl-C."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Self

from sesacctl.drill.children import Exit
from sesacctl.drill.looks import Looks
from sesacctl.drill.loop import INSTANCES, Loop
from sesacctl.drill.sights import DatabaseLook, KafkaLook, Look, ProcessLook
from sesacctl.drill.stages import Moment, Stage
from sesacctl.drill.timeline import Timeline
from sesacctl.errors import CheckFailed
from sesacctl.settings import Settings
from sesacctl.stack.control import BROKERS

TURN_SECONDS = 180.0
CALM_SECONDS = 3.0
_TICK_SECONDS = 0.1
_STAGE_OF = {"refresher": Stage.CACHE, "supervisor": Stage.CONSUMERS}


class Interrupted(Exception):
    """Somebody has had enough."""


class Watch:
    """Watches a loop; every new line of its timeline is kept, and told at once."""

    def __init__(
        self,
        settings: Settings,
        loop: Loop,
        exits: SimpleQueue[Exit],
        stop: threading.Event,
        on_moment: Callable[[Moment], None],
    ) -> None:
        """`exits`: where the ends of the drill's own commands come in."""
        self._loop, self._stop, self._on_moment = loop, stop, on_moment
        self._looks = Looks(settings, loop.supervisors)
        self._exits = exits
        self.timeline = Timeline(instances=0, members=0, brokers=len(BROKERS))
        self.moments: list[Moment] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._looks.close()

    def tell(self, stage: Stage, text: str, at: float | None = None) -> None:
        """A line of the timeline, now or at that time."""
        self._keep(self.timeline.moment(time.monotonic() if at is None else at, stage, text))

    def until(self, reached: Callable[[], bool], seconds: float) -> bool:
        """Watch until `reached`, looked at after each look, for at most `seconds`; returns whether it was.

        Raises:
            Interrupted: `stop` was set.
        """
        deadline = time.monotonic() + seconds
        while not reached():
            self._see(self._next())
            if time.monotonic() > deadline:
                return False
        return True

    def until_it_turns(self) -> None:
        """Learn how many members and instances there are, and watch until all works and little waits, for a while.

        Raises:
            Interrupted: `stop` was set.
            CheckFailed: it does not turn in time.
        """
        deadline = time.monotonic() + TURN_SECONDS
        instances, members = self._usual(deadline)
        self.timeline = Timeline(instances=instances, members=members, brokers=len(BROKERS))
        calm: float | None = None
        while calm is None or time.monotonic() - calm < CALM_SECONDS:
            look = self._next()
            self._see(look)
            if not self.timeline.is_calm:
                calm = None
            elif calm is None:
                calm = time.monotonic()
                self.timeline.begin_calm()
            if time.monotonic() > deadline:
                raise _not_turning(self.timeline.trouble or "more comes than is stored")

    def _usual(self, deadline: float) -> tuple[int, int]:
        """Instances and members, once there are as many as were started, or as many twice in a row."""
        wanted = INSTANCES if self._loop.supervisor is not None else 0
        instances, members, stores = 0, 0, False
        while time.monotonic() < deadline:
            look = self._next()
            if isinstance(look, ProcessLook):
                instances = look.instances
            elif isinstance(look, DatabaseLook):
                stores = bool(look.offsets)
            elif isinstance(look, KafkaLook) and look.members is not None:
                steady, members = members == look.members, look.members
                if steady and stores and members and min(members, instances or members) >= wanted:
                    return instances, members
        raise _not_turning("no consumers have joined the group")

    def _next(self) -> Look | None:
        while True:
            if self._stop.is_set():
                raise Interrupted
            try:
                ended = self._exits.get_nowait()
            except Empty:
                return self._looks.next(_TICK_SECONDS)
            if self.timeline.began is not None and not ended.asked and self._loop.is_kept(ended.name):
                stage = _STAGE_OF.get(ended.name, Stage.PRODUCER)
                self.tell(stage, f"the drill's {ended.name} ended with {ended.code}; it is started again")

    def _see(self, look: Look | None) -> None:
        if look is None:
            return
        for moment in self.timeline.see(look):
            if self.timeline.began is not None:
                self._keep(moment)

    def _keep(self, moment: Moment) -> None:
        self.moments.append(moment)
        self._on_moment(moment)


def _not_turning(why: str) -> CheckFailed:
    return CheckFailed(f"the loop does not turn within {TURN_SECONDS:.0f} s: {why}", hint="sesacctl health")
