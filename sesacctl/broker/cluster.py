"""The brokers and the consumer group as Kafka sees them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec

from sesacctl.broker.bootstrap import GRACE_SECONDS, reachable
from sesacctl.broker.clients import admin, admin_client
from sesacctl.broker.groups import GroupMembers, Place, read_members
from sesacctl.broker.kafka_python.admin_requests import living_brokers
from sesacctl.broker.offsets import partition_offsets
from sesacctl.broker.topic_state import unsafe_settings
from sesacctl.broker.topics import described
from sesacctl.settings import Settings

BROKER_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Broker ids that are in service and those that hold our replicas; our partitions with a fault, by fault.

    `newest_event`: the latest time of an event in our topics, in seconds since 1970; None if there is none.
    `members` are ours; `foreign_members` are those of other applications in our group, as `client id at host`, and
    `group_problem` is why the members are not known.
    `unsafe`: settings of topics with which Kafka may lose what it has acknowledged. `places` are those of all members,
    `logs` our partitions; `ends` has the end of each that has a leader.
    """

    brokers: tuple[int, ...]
    replica_brokers: tuple[int, ...]
    partitions: int
    leaderless: int
    under_replicated: int
    below_min_isr: int
    members: int
    newest_event: float | None
    foreign_members: tuple[str, ...] = ()
    group_problem: str | None = None
    unsafe: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()
    logs: tuple[LogState, ...] = ()
    ends: Mapping[tuple[str, int], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LogState:
    """One partition: broker ids of its leader (None: it has none), its replicas and those in sync."""

    topic: str
    partition: int
    leader: int | None
    replicas: tuple[int, ...]
    isr: tuple[int, ...]


def read_cluster(settings: Settings, *, seconds: float) -> Cluster:
    """The cluster now, with the settings' consumer group; each request takes at most `seconds`.

    Raises:
        TopicMissing: one of the three does not exist.
        ServerUnreachable: no broker answers in time.
        ServerRefused: authentication or authorization failed.
    """
    with admin_client(settings, timeout_ms=int(seconds * 1000)) as client:
        brokers = living_brokers(client)
        found = described(settings, client)
        group = read_members(client, settings.kafka_group)
        led = led_partitions(found)
        newest, ends = newest_of(times_of(client, led)), ends_of(client, led)
        unsafe = tuple(unsafe_settings(client, list(found)))
    return cluster_of(brokers, found, group, newest=newest, ends=ends, unsafe=unsafe)


def cluster_of(
    brokers: Sequence[int],
    topics: Mapping[str, dict[str, Any]],
    group: GroupMembers,
    *,
    newest: float | None,
    ends: Mapping[TopicPartition, int],
    unsafe: tuple[str, ...] = (),
) -> Cluster:
    """What Kafka's own descriptions of our topics say of the cluster."""
    partitions = [partition for topic in topics.values() for partition in topic["partitions"]]
    return Cluster(
        brokers=tuple(brokers),
        replica_brokers=tuple(sorted({replica for each in partitions for replica in each["replica_nodes"]})),
        partitions=len(partitions),
        leaderless=sum(each["leader_id"] < 0 for each in partitions),
        under_replicated=sum(len(each["isr_nodes"]) < len(each["replica_nodes"]) for each in partitions),
        below_min_isr=sum(len(each["isr_nodes"]) < max(1, len(each["replica_nodes"]) - 1) for each in partitions),
        members=group.own,
        foreign_members=group.foreign,
        group_problem=group.problem,
        newest_event=newest,
        ends={(tp.topic, tp.partition): end for tp, end in ends.items()},
        unsafe=unsafe,
        places=group.places,
        logs=tuple(_log(name, each) for name, topic in topics.items() for each in topic["partitions"]),
    )


def _log(topic: str, entry: dict[str, Any]) -> LogState:
    leader = entry["leader_id"]
    return LogState(
        topic=topic,
        partition=entry["partition_index"],
        leader=leader if leader >= 0 else None,
        replicas=tuple(sorted(entry["replica_nodes"])),
        isr=tuple(sorted(entry["isr_nodes"])),
    )


def led_partitions(topics: Mapping[str, dict[str, Any]]) -> dict[TopicPartition, int]:
    """The broker ids of the leaders of those partitions that have one."""
    return {
        TopicPartition(name, partition["partition_index"]): int(partition["leader_id"])
        for name, topic in topics.items()
        for partition in topic["partitions"]
        if partition["leader_id"] >= 0
    }


def ends_of(client: KafkaAdminClient, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """Where their logs end; Kafka's own errors."""
    found = partition_offsets(client, dict.fromkeys(partitions, OffsetSpec.LATEST))
    return {tp: answer.offset for tp, answer in found.items()}


def times_of(client: KafkaAdminClient, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """The latest time of an event in each, in milliseconds since 1970, -1 if there is none; Kafka's own errors."""
    found = partition_offsets(client, dict.fromkeys(partitions, OffsetSpec.MAX_TIMESTAMP))
    return {tp: answer.timestamp for tp, answer in found.items()}


def newest_of(times: Mapping[TopicPartition, int]) -> float | None:
    """The latest of such times, in seconds; None if there is none."""
    newest = max(times.values(), default=-1)
    return newest / 1000 if newest >= 0 else None


def reachable_brokers(settings: Settings, *, each: bool) -> tuple[Settings, list[str]]:
    """The settings with only those bootstrap servers that answer, and the addresses of those that do not.

    With `each`, every one has `BROKER_SECONDS`; without, the first answers will do.

    Raises:
        ServerUnreachable: none answers within `BROKER_SECONDS`.
        ServerRefused: authentication or authorization failed.
    """
    if len(settings.brokers) == 1:
        admin(settings, timeout_ms=int(BROKER_SECONDS * 1000)).close()
        return settings, []
    found = reachable(settings, seconds=BROKER_SECONDS, grace=None if each else GRACE_SECONDS)
    if not found.answering:
        admin(settings, timeout_ms=int(BROKER_SECONDS * 500)).close()  # for the reason why
    return _with_brokers(settings, found.answering or settings.brokers), found.silent


def _with_brokers(settings: Settings, servers: list[str]) -> Settings:
    return settings.model_copy(update={"kafka_bootstrap_servers": ",".join(servers)})
