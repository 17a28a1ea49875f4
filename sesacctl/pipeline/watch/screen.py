"""What `sesacctl top` shows: the stages, the hosts and the partitions at one look."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sesacctl.broker.groups import Place
from sesacctl.pipeline.watch.observation import Observation


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One column: rate per second in `unit`s, age in seconds, and what waits, in `backlog_unit`s.

    A figure is None when it is not known: rates at the first look, everything while a server is away (`problem`).
    """

    key: str
    title: str
    rate: float | None
    unit: str
    age: float | None
    backlog: int | None
    backlog_unit: str
    history: tuple[float, ...]
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostShare:
    """A supervisor of the consumer group: where Kafka sees it, how many members it has, and how many partitions.

    `partitions` are by topic; none of a topic is not there.
    """

    host: str
    address: str
    members: int
    partitions: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionLine:
    """One partition: what waits in it, of any age, how much of it is stored a second, and who has it.

    `lag` and `rate` are None while PostgreSQL does not tell, `leader` where there is none.
    """

    topic: str
    partition: int
    log_end: int
    lag: int | None
    rate: float | None
    leader: int | None
    in_sync: int
    replicas: int
    member: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """All stages in the loop's order; `bottleneck` is the key of the one that holds the others up.

    `hosts`, `partitions`, `members` and the brokers, in service and in all, are None while Kafka does not tell,
    `dead_letters` while PostgreSQL does not.
    """

    at: datetime
    database: str
    group: str
    stages: list[Stage]
    bottleneck: str | None
    reason: str
    hosts: list[HostShare] | None
    partitions: list[PartitionLine] | None = None
    brokers_up: int | None = None
    brokers: int | None = None
    members: int | None = None
    dead_letters: int | None = None


def log_ends(seen: Observation) -> dict[tuple[str, int], int]:
    """The ends of the logs, which Kafka tells without PostgreSQL, too."""
    if seen.partitions is not None:
        return {(part.topic, part.partition): part.log_end for part in seen.partitions}
    return dict(seen.kafka.ends) if seen.kafka else {}


def partition_lines(seen: Observation, before: Observation | None) -> list[PartitionLine] | None:
    """Every partition that is known, in order; rates since the look `before`."""
    if seen.kafka is None and seen.partitions is None:
        return None
    parts = {(part.topic, part.partition): part for part in seen.partitions or []}
    then = {(part.topic, part.partition): part.taken for part in (before.partitions if before else None) or []}
    logs = {(log.topic, log.partition): log for log in (seen.kafka.logs if seen.kafka else ())}
    places = seen.kafka.places if seen.kafka else ()
    owners = {log: place.member for place in places for log in place.partitions}
    lines = []
    for name, end in sorted(log_ends(seen).items()):
        part, log = parts.get(name), logs.get(name)
        rate = None
        if part is not None and before is not None and name in then:
            rate = round(max(0, part.taken - then[name]) / (seen.at - before.at), 1)
        lines.append(
            PartitionLine(
                topic=name[0],
                partition=name[1],
                log_end=end,
                lag=part.lag if part else None,
                rate=rate,
                leader=log.leader if log else None,
                in_sync=len(log.isr) if log else 0,
                replicas=len(log.replicas) if log else 0,
                member=owners.get(name),
            )
        )
    return lines


def share_by_host(places: Iterable[Place]) -> list[HostShare]:
    """What each host of the group has, by the names of the hosts."""
    hosts: dict[str, list[Place]] = {}
    for place in places:
        hosts.setdefault(place.host, []).append(place)
    return [
        HostShare(
            host=host,
            address=", ".join(sorted({place.address for place in found})),
            members=len(found),
            partitions=dict(sorted(Counter(topic for place in found for topic, _ in place.partitions).items())),
        )
        for host, found in sorted(hosts.items())
    ]
