"""What happened between two looks at the loop: pure, without any server or clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from sesacctl.broker.cluster import Cluster
from sesacctl.broker.groups import Place
from sesacctl.cache.state import CacheState
from sesacctl.errors import SesacctlError
from sesacctl.formatting import plural
from sesacctl.pipeline.audit.partitions import PartitionProgress
from sesacctl.pipeline.sink.counts import PartitionKey
from sesacctl.pipeline.sink.log_cuts import CutLog

KAFKA = "Kafka"
# What a probe is called in an observation, and whose trouble it is; "loop" needs two servers that have their own.
_SERVERS = {"PostgreSQL": "PostgreSQL", "Redis": "Redis", "brokers": KAFKA, "Kafka": KAFKA}


class EventKind(StrEnum):
    """What can happen to the loop."""

    AWAY = "away"
    BACK = "back"
    BROKER_DOWN = "broker_down"
    BROKER_UP = "broker_up"
    LEADER = "leader"
    JOINED = "joined"
    LEFT = "left"
    RESTARTED = "restarted"
    REBALANCE = "rebalance"
    REFRESHED = "refreshed"
    STALLED = "stalled"
    MOVING = "moving"
    REFUSED = "refused"
    PARKED = "parked"
    GAP = "gap"
    CUT = "cut"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that happened: to whom, how many of what, and as an English sentence."""

    kind: EventKind
    subject: str
    text: str
    count: int | None = None


def broker_name(broker: int) -> str:
    """What a broker is called in events, as in the stack's own list."""
    return f"kafka-{broker}"


def of_servers(before: Mapping[str, SesacctlError], now: Mapping[str, SesacctlError]) -> Iterator[Change]:
    """Servers that do not answer any more, and those that answer again."""
    were, are = _away(before), _away(now)
    for server, problem in are.items():
        if server not in were:
            yield Change(kind=EventKind.AWAY, subject=server, text=problem)
    for server in were.keys() - are.keys():
        yield Change(kind=EventKind.BACK, subject=server, text=f"{server} answers again")


def _away(problems: Mapping[str, SesacctlError]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, error in problems.items():
        if name in _SERVERS:
            found.setdefault(_SERVERS[name], str(error))
    return found


def of_brokers(before: Cluster, now: Cluster) -> Iterator[Change]:
    """Brokers that have left the service or come back, and who leads partitions since."""
    for broker in sorted({*before.brokers} - {*now.brokers}):
        name = broker_name(broker)
        yield Change(kind=EventKind.BROKER_DOWN, subject=name, text=f"broker {name} is out of service")
    for broker in sorted({*now.brokers} - {*before.brokers}):
        name = broker_name(broker)
        yield Change(kind=EventKind.BROKER_UP, subject=name, text=f"broker {name} is in service")
    leaders = {(log.topic, log.partition): log.leader for log in before.logs}
    gained = Counter(
        log.leader
        for log in now.logs
        if log.leader is not None and (log.topic, log.partition) in leaders
        and leaders[log.topic, log.partition] != log.leader
    )  # fmt: skip
    for broker, count in sorted(gained.items()):
        name = broker_name(broker)
        text = f"{name} leads {plural(count, 'more partition', 'more partitions')}"
        yield Change(kind=EventKind.LEADER, subject=name, text=text, count=count)


def of_members(before: tuple[Place, ...], now: tuple[Place, ...]) -> Iterator[Change]:
    """Members of the group that are new, gone, or started again under the same id."""
    were, are = ({place.member: place for place in places} for places in (before, now))
    for name in sorted(were.keys() - are.keys()):
        yield Change(kind=EventKind.LEFT, subject=name, text=f"instance {name} has left the group")
    for name in sorted(are.keys() - were.keys()):
        yield Change(kind=EventKind.JOINED, subject=name, text=f"instance {name} has joined the group")
    for name in sorted(are.keys() & were.keys()):
        if are[name].session != were[name].session:
            yield Change(kind=EventKind.RESTARTED, subject=name, text=f"instance {name} was started again")


def of_owners(
    before: Mapping[tuple[str, int], str], now: Mapping[tuple[str, int], str], group: str
) -> Iterator[Change]:
    """Partitions that another member has; both are as `owners` makes them."""
    moved = sum(member != before.get(log) for log, member in now.items())
    if moved:
        text = f"rebalance: {plural(moved, 'partition')} changed hands"
        yield Change(kind=EventKind.REBALANCE, subject=group, text=text, count=moved)


def owners(places: tuple[Place, ...]) -> dict[tuple[str, int], str] | None:
    """Who has which partition; None while nobody has any, as during a rebalance."""
    return {log: place.member for place in places for log in place.partitions} or None


def of_cache(before: CacheState, now: CacheState) -> Iterator[Change]:
    """A new generation."""
    if now.generation is not None and now.generation != before.generation:
        rows = sum(each.rows for each in now.hashes)
        text = f"the cache was refreshed: generation {now.generation:,}, {plural(rows, 'row')}"
        yield Change(kind=EventKind.REFRESHED, subject=str(now.generation), text=text, count=rows)


def of_partitions(before: list[PartitionProgress], now: list[PartitionProgress]) -> Iterator[Change]:
    """Records that were refused, parked, or skipped as they had expired before they were stored."""
    were = {part.key: part.counts for part in before}
    known = [part for part in now if part.key in were]
    for name, kind, text in (
        ("dead", EventKind.REFUSED, "{} refused: dead letters"),
        ("parked", EventKind.PARKED, "{} parked"),
    ):
        more: Counter[str] = Counter()
        for part in known:
            more[part.kind] += max(0, getattr(part.counts, name) - getattr(were[part.key], name))
        for topic, count in sorted(more.items()):
            if count:
                yield Change(kind=kind, subject=topic, text=text.format(plural(count, "record")), count=count)
    for part in known:
        if (count := part.counts.expired - were[part.key].expired) > 0:
            subject = f"{part.kind}-{part.partition}"
            text = f"{subject}: {plural(count, 'record')} expired before they were stored"
            yield Change(kind=EventKind.GAP, subject=subject, text=text, count=count)


def of_cuts(
    before: Mapping[PartitionKey, CutLog], now: Mapping[PartitionKey, CutLog], parts: list[PartitionProgress]
) -> Iterator[Change]:
    """Logs that are not those that were stored."""
    names = {part.key: f"{part.kind}-{part.partition}" for part in parts}
    for key in now.keys() - before.keys():
        subject = names.get(key, f"partition {key[1]}")
        text = f"{subject}: the log was cut or replaced"
        yield Change(kind=EventKind.CUT, subject=subject, text=text)


def of_states(before: Mapping[str, str], now: Mapping[str, str], *, stalled: str) -> Iterator[Change]:
    """Stages that stand still, and those that move again; values are states, by the stage's key."""
    for key, state in now.items():
        was = before.get(key)
        if state == stalled and was != stalled:
            yield Change(kind=EventKind.STALLED, subject=key, text=f"{key} stands still")
        elif was == stalled and state != stalled:
            yield Change(kind=EventKind.MOVING, subject=key, text=f"{key} moves again")
