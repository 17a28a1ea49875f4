"""What the dashboard remembers of the looks before: the last that each side told, members that left, and events."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sesacctl.broker.cluster import Cluster
from sesacctl.cache.state import CacheState
from sesacctl.dashboard import changes
from sesacctl.dashboard.changes import Change, EventKind
from sesacctl.errors import SesacctlError
from sesacctl.pipeline.audit.partitions import PartitionProgress
from sesacctl.pipeline.sink.counts import PartitionKey
from sesacctl.pipeline.sink.log_cuts import CutLog
from sesacctl.pipeline.watch.observation import Observation

KEPT_EVENTS = 200
GONE = timedelta(minutes=5)
"""A member that has left is shown for so long."""
_MOST_GONE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopEvent:
    """One line of the log; ids grow, over a restart of the dashboard as well."""

    id: int
    at: datetime
    kind: EventKind
    subject: str
    text: str
    count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceLine:
    """A member of the group: `since` it was started or, if it is not `up`, since it is gone."""

    member: str
    host: str
    up: bool
    since: datetime
    partitions: list[tuple[str, int]]


class Memory:
    """Takes one observation after the other, and says what is new."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._problems: Mapping[str, SesacctlError] | None = None
        self._kafka: Cluster | None = None
        self._owners: dict[tuple[str, int], str] = {}
        self._cache: CacheState | None = None
        self._parts: list[PartitionProgress] | None = None
        self._cuts: Mapping[PartitionKey, CutLog] | None = None
        self._states: Mapping[str, str] = {}
        self._instances: dict[str, InstanceLine] = {}
        self._sessions: dict[str, str] = {}

    @property
    def kafka(self) -> Cluster | None:
        """The cluster as it was when it was seen last."""
        return self._kafka

    def see(self, seen: Observation, states: Mapping[str, str], at: datetime) -> list[Change]:
        """What has happened since the observation before; nothing has at the first one."""
        found = list(self._changes(seen, states))
        if seen.kafka is not None and seen.kafka.group_problem is None:
            self._see_members(seen.kafka, at)
        self._problems, self._states = seen.problems, states
        if seen.kafka is not None:
            self._kafka = self._with_known_members(seen.kafka)
            self._owners = changes.owners(self._kafka.places) or self._owners
        self._cache = seen.redis.cache if seen.redis else self._cache
        if seen.partitions is not None:
            self._parts, self._cuts = seen.partitions, seen.cuts
        return found

    def instances(self) -> list[InstanceLine]:
        """All members, those that left in the last minutes as well."""
        return sorted(self._instances.values(), key=lambda each: (each.host, len(each.member), each.member))

    def _changes(self, seen: Observation, states: Mapping[str, str]) -> Iterator[Change]:
        if self._problems is not None:
            yield from changes.of_servers(self._problems, seen.problems)
            yield from changes.of_states(self._states, states, stalled="stalled")
        if self._kafka is not None and seen.kafka is not None:
            now = self._with_known_members(seen.kafka)
            yield from changes.of_brokers(self._kafka, now)
            yield from changes.of_members(self._kafka.places, now.places)
            if self._owners and (owners := changes.owners(now.places)) is not None:
                yield from changes.of_owners(self._owners, owners, self._group)
        if self._cache is not None and seen.redis is not None:
            yield from changes.of_cache(self._cache, seen.redis.cache)
        if self._parts is not None and seen.partitions is not None:
            yield from changes.of_partitions(self._parts, seen.partitions)
            yield from changes.of_cuts(self._cuts or {}, seen.cuts, seen.partitions)

    def _with_known_members(self, kafka: Cluster) -> Cluster:
        """While its coordinator moves, a group has the members that it had."""
        if kafka.group_problem is None or self._kafka is None:
            return kafka
        return replace(kafka, places=self._kafka.places)

    def _see_members(self, kafka: Cluster, at: datetime) -> None:
        there, changing = {place.member: place for place in kafka.places}, changes.owners(kafka.places) is None
        for name, place in there.items():
            known = self._instances.get(name)
            again = known is None or not known.up or self._sessions.get(name) != place.session
            self._sessions[name] = place.session
            self._instances[name] = InstanceLine(
                member=name,
                host=place.host,
                up=True,
                since=at if known is None or again else known.since,
                partitions=known.partitions if known and changing else list(place.partitions),
            )
        for name, line in list(self._instances.items()):
            if name not in there and line.up:
                self._instances[name] = replace(line, up=False, since=at, partitions=[])
            elif not line.up and at - line.since > GONE:
                self._forget(name)
        gone = sorted((line.since, name) for name, line in self._instances.items() if not line.up)
        for _, name in gone[:-_MOST_GONE]:
            self._forget(name)

    def _forget(self, name: str) -> None:
        del self._instances[name]
        self._sessions.pop(name, None)


class EventLog:
    """The last events, numbered; each belongs to the look that saw it."""

    def __init__(self, begin: int) -> None:
        self._next = begin
        self._kept: deque[tuple[int, LoopEvent]] = deque(maxlen=KEPT_EVENTS)

    def add(self, found: list[Change], at: datetime, *, look: int) -> list[LoopEvent]:
        """Number what has happened, and keep it."""
        new = [
            LoopEvent(
                id=self._next + number, at=at, kind=each.kind, subject=each.subject, text=each.text, count=each.count
            )
            for number, each in enumerate(found)
        ]
        self._next += len(new)
        self._kept.extend((look, event) for event in new)
        return new

    def after(self, look: int | None, *, until: int | None = None) -> list[LoopEvent]:
        """Those since a look, or all that are kept, the oldest first; none that a look later than `until` has seen."""
        return [
            event
            for seen_by, event in list(self._kept)
            if (look is None or seen_by > look) and (until is None or seen_by <= until)
        ]
