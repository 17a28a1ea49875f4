"""The health of every server and of the loop: checked once, or until everything is healthy."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from time import monotonic

from sesacctl.broker.offsets import offsets_at
from sesacctl.heartbeat import read_pulses
from sesacctl.pipeline.audit.partitions import PartitionProgress
from sesacctl.pipeline.watch.checks import STALLED_SECONDS, Check, Verdict, judge
from sesacctl.pipeline.watch.observation import at_once, observe
from sesacctl.settings import Settings

SERVERS = ("PostgreSQL", "Redis", "Kafka")
WAIT_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """All checks; the worst verdict is the whole one's."""

    verdict: Verdict
    checks: list[Check]

    @property
    def healthy(self) -> bool:
        """Whether nothing is down or unhealthy."""
        return self.verdict not in (Verdict.UNHEALTHY, Verdict.DOWN)


def health(settings: Settings, *, only_servers: bool = False) -> Health:
    """Check everything once; `only_servers`: whether the loop's parts could start. Answers within ten seconds."""
    observation = observe(settings, each_broker=True)
    pulses = read_pulses(settings.sesac_home.expanduser())
    checks = judge(observation, pulses, lag_is_old=lambda: lag_is_old(settings, observation.partitions or []))
    if only_servers:
        checks = [check for check in checks if check.name in SERVERS]
    return Health(verdict=max((check.verdict for check in checks), key=list(Verdict).index), checks=checks)


def lag_is_old(settings: Settings, partitions: list[PartitionProgress]) -> bool:
    """Whether an event waits for longer than `STALLED_SECONDS`, or that is unknown."""
    lagging = {(each.topic, each.partition): each for each in partitions if each.lag}
    at = datetime.now(UTC) - timedelta(seconds=STALLED_SECONDS)
    seen, _ = at_once({"Kafka": lambda: offsets_at(settings, list(lagging), at)})
    young: dict[tuple[str, int], int] = seen.get("Kafka", {})
    return any((each.next or each.log_start) < young.get(key, each.log_end) for key, each in lagging.items())


def wait_healthy(
    settings: Settings,
    *,
    seconds: float,
    only_servers: bool = False,
    stop: threading.Event | None = None,
    on_wait: Callable[[str], None] = lambda _: None,
) -> Health:
    """The first good health, or the last bad one after `seconds`; `on_wait` is called with what is waited for, once."""
    deadline, said = monotonic() + seconds, ""
    stop = stop or threading.Event()
    while True:
        found = health(settings, only_servers=only_servers)
        if found.healthy or monotonic() >= deadline or stop.is_set():
            return found
        names = ", ".join(check.name for check in found.checks if check.verdict in (Verdict.UNHEALTHY, Verdict.DOWN))
        if names != said:
            on_wait(names)
            said = names
        stop.wait(min(WAIT_SECONDS, max(0.0, deadline - monotonic())))
