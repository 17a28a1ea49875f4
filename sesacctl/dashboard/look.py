"""One look at the loop as the page shows it: what `top` shows, and brokers, members, waits and events beside it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sesacctl.broker.cluster import Cluster
from sesacctl.dashboard.aging import AgingWatch
from sesacctl.dashboard.memory import EventLog, InstanceLine, LoopEvent, Memory
from sesacctl.documents import document
from sesacctl.pipeline.refresh.aging import Aging
from sesacctl.pipeline.watch.observation import Observation
from sesacctl.pipeline.watch.observer import Observer
from sesacctl.pipeline.watch.probes import DatabaseView, Waiting
from sesacctl.pipeline.watch.screen import Screen, Stage
from sesacctl.pipeline.watch.top import Top
from sesacctl.settings import Settings

_COMMAND = re.compile(r": (sesacctl .+)$")
# What tells more of a stage that is slow, where its reason names no command.
_CLOSER = {"consume": "sesacctl lag", "broker": "sesacctl health"}
# Whose problem it is if a stage has one, by the stage.
_SERVERS = {
    "source": ("PostgreSQL",),
    "refresh": ("PostgreSQL", "Redis"),
    "cache": ("Redis",),
    "produce": ("Kafka", "brokers"),
    "broker": ("Kafka", "brokers"),
    "consume": ("loop",),
    "sink": ("PostgreSQL", "loop"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerLine:
    """One broker: whether it is in service, None while Kafka does not tell; how many partitions it leads and copies.

    `in_sync` of its `replicas` copies are in sync.
    """

    id: int
    up: bool | None
    leads: int
    in_sync: int
    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingLines:
    """Records that were not stored, by topic and reason."""

    dead: tuple[Waiting, ...]
    parked: tuple[Waiting, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """`top` is what `top -o json` prints of the same look; `command`: what to run about the bottleneck.

    `aging` is None until the cache was read, `waiting` while PostgreSQL does not answer. `events` are those since the
    look before.
    """

    id: int
    at: datetime
    top: dict[str, Any]
    command: str | None
    stages: dict[str, str]
    brokers: list[BrokerLine]
    instances: list[InstanceLine]
    aging: Aging | None
    waiting: WaitingLines | None
    events: list[LoopEvent] = field(default_factory=list)


class Looker:
    """Makes looks, one at a time; `events` has those of all looks, as far as they are kept."""

    def __init__(
        self,
        settings: Settings,
        *,
        observe: Callable[[], Observation] | None = None,
        aging: Callable[[Observation], Aging | None] | None = None,
    ) -> None:
        """Read nothing yet. `observe` and `aging` take the place of what asks the servers.

        Raises:
            ConfigurationError: a variable that this `DB_TYPE` needs is not set.
        """
        self._settings = settings
        self._observer = Observer(settings)
        self._observe = observe or self._observer.observe
        self._aging = aging or AgingWatch(settings)
        self._top = Top(settings)
        self._memory = Memory(settings.kafka_group)
        self._next = int(time.time())  # so ids grow over a restart: there is at most one look a second
        self.events = EventLog(self._next * 1000)

    def close(self) -> None:
        """Give up the connections to servers that nobody waits for."""
        self._observer.close()

    def run_once(self) -> Look:
        """Look, within the bound of `observe`."""
        return self.look(self._observe())

    def look(self, seen: Observation) -> Look:
        """What is to be shown of an observation, beside those before it."""
        screen = self._top.screen(seen)
        states = {stage.key: state_of(stage, screen.bottleneck) for stage in screen.stages}
        self._next += 1
        new = self.events.add(self._memory.see(seen, states, screen.at), screen.at, look=self._next)
        database = seen.database
        return Look(
            id=self._next,
            at=screen.at,
            top=document(screen),
            command=command_of(screen, seen),
            stages=states,
            brokers=broker_lines(self._memory.kafka, told=seen.kafka is not None),
            instances=self._memory.instances(),
            aging=self._aging(seen),
            waiting=waiting_lines(database) if database else None,
            events=new,
        )


def waiting_lines(database: DatabaseView) -> WaitingLines:
    """What waits in PostgreSQL; whom a parked event waits for is not counted, as each would have to be read."""
    parked = tuple(replace(each, reason="unknown") for each in database.parked_events)
    return WaitingLines(dead=database.dead, parked=parked)


def state_of(stage: Stage, bottleneck: str | None) -> str:
    """`away`, `stalled`, `slow`, `ok` or, while nothing is known of it, `unknown`."""
    if stage.problem is not None:
        return "away"
    if stage.rate is None and stage.age is None and stage.backlog is None:
        return "unknown"
    if stage.key == bottleneck:
        return "stalled" if stage.backlog and not stage.rate else "slow"
    return "ok"


def command_of(screen: Screen, seen: Observation) -> str | None:
    """What to run about the bottleneck; None if there is none, or nothing helps."""
    if screen.bottleneck is None:
        return None
    if (found := _COMMAND.search(screen.reason)) is not None:
        return found[1]
    for server in _SERVERS[screen.bottleneck]:
        if server in seen.problems:
            return seen.problems[server].hint
    return _CLOSER.get(screen.bottleneck)


def broker_lines(kafka: Cluster | None, *, told: bool) -> list[BrokerLine]:
    """Every broker that is in service, or has copies of our partitions; `told`: this is as of now."""
    if kafka is None:
        return []
    return [
        BrokerLine(
            id=broker,
            up=broker in kafka.brokers if told else None,
            leads=sum(log.leader == broker for log in kafka.logs),
            in_sync=sum(broker in log.isr for log in kafka.logs),
            replicas=sum(broker in log.replicas for log in kafka.logs),
        )
        for broker in sorted({*kafka.brokers, *kafka.replica_brokers})
    ]
