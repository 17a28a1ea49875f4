"""How topics are: leaders, replicas, settings and sizes, as the brokers tell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError, TopicAuthorizationFailedError

from sesacctl.broker.kafka_python.admin_requests import living_brokers
from sesacctl.waiting import wait_until

SAFE = {"cleanup.policy": "delete", "unclean.leader.election.enable": "false"}
"""Compaction deletes records from the middle of a log; an unclean election cuts its end."""
_RETENTION = ("retention.ms", "segment.ms", "cleanup.policy")
_AGREE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionState:
    """One partition: broker ids of leader (None: it has none), replicas and in-sync replicas."""

    partition: int
    leader: int | None
    replicas: list[int]
    isr: list[int]
    under_replicated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicState:
    """One topic. `size_bytes` is on the disks of all brokers that answer; the two counts are of partitions.

    `unsafe` are settings with which Kafka may lose or change what it has acknowledged, as `name=value`.
    """

    topic: str
    topic_id: str
    partitions: list[PartitionState]
    leaderless: int
    under_replicated: int
    retention_ms: int
    min_insync_replicas: int
    unsafe: list[str]
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """For how long a topic keeps a record at most; None: without limit, or not by time. `sentence` says why."""

    milliseconds: int | None
    sentence: str


def existing_topics(client: KafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Kafka's description of those of `names` that exist, by name; Kafka's own errors."""
    return {topic["name"]: topic for topic in client.describe_topics(list(names)) if not topic["error_code"]}


def read_topics(client: KafkaAdminClient, names: Sequence[str]) -> list[TopicState]:
    """Those of `names` that exist, in that order.

    Raises:
        TopicAuthorizationFailedError: the settings of one may not be read; and Kafka's other errors.
    """
    found: dict[str, dict[str, Any]] = {}
    configs: dict[str, dict[str, Any]] = {}

    def look() -> bool:
        nonlocal found, configs
        found = existing_topics(client, names)
        configs = _configs(client, list(found))
        return all(configs[name] for name in found)

    # One broker may know a topic that its neighbour no longer knows, or not yet: it has no settings there for a moment.
    # kafka-python drops the error that comes with them, so a right that is missing shows only in that they never come.
    if not wait_until(look, _AGREE_SECONDS):
        hidden = ", ".join(name for name in found if not configs[name])
        raise TopicAuthorizationFailedError(f"the settings of {hidden} may not be read (DescribeConfigs)")
    if not found:
        return []
    sizes = _sizes(client, list(found))
    return [_state(found[name], configs[name], sizes[name]) for name in names if name in found]


def unsafe_settings(client: KafkaAdminClient, names: Sequence[str]) -> list[str]:
    """Settings of these topics with which Kafka may lose what it has acknowledged; none where they may not be read."""
    return [f"{name}: {each}" for name, found in _configs(client, names).items() for each in _unsafe(found)]


def retention_of(client: KafkaAdminClient, name: str) -> Retention:
    """Of one topic: a record goes with its segment, which takes others in for `segment.ms` before it can expire."""
    configs = _configs(client, [name]).get(name) or {}
    found = {each: str(configs[each]["value"]) for each in _RETENTION if each in configs}
    if len(found) < len(_RETENTION):
        return Retention(milliseconds=None, sentence="the topic's settings may not be read (DescribeConfigs)")
    sentence = ", ".join(f"{each}={value}" for each, value in found.items())
    kept, segment = int(found["retention.ms"]), int(found["segment.ms"])
    if kept < 0 or "delete" not in found["cleanup.policy"]:
        return Retention(milliseconds=None, sentence=f"{sentence}: it does not expire by time")
    return Retention(milliseconds=kept + segment, sentence=sentence)


def max_batch_bytes(client: KafkaAdminClient, name: str) -> int | None:
    """`max.message.bytes` of a topic; None where it may not be read."""
    found = _configs(client, [name]).get(name) or {}
    return int(found["max.message.bytes"]["value"]) if "max.message.bytes" in found else None


def _unsafe(configs: dict[str, Any]) -> list[str]:
    found = ((name, configs[name]["value"]) for name in SAFE if name in configs)
    return [f"{name}={value}" for name, value in found if value != SAFE[name]]


def brokers_with(client: KafkaAdminClient, names: Sequence[str]) -> set[tuple[int, str, int]]:
    """Broker, topic and partition of every replica that is there; brokers that do not answer are left out."""
    return {
        (broker, topic["name"], partition["partition_index"])
        for broker, topic in _log_topics(client, names)
        for partition in topic["partitions"]
    }


def _configs(client: KafkaAdminClient, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    if not names:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    answer: dict[str, dict[str, Any]] = client.describe_configs(resources, config_filter="all")["topic"]
    return answer


def _state(topic: dict[str, Any], configs: dict[str, Any], size: int) -> TopicState:
    partitions = [_partition(entry) for entry in sorted(topic["partitions"], key=lambda each: each["partition_index"])]
    return TopicState(
        topic=topic["name"],
        topic_id=str(topic["topic_id"]),
        partitions=partitions,
        leaderless=sum(each.leader is None for each in partitions),
        under_replicated=sum(each.under_replicated for each in partitions),
        retention_ms=int(configs["retention.ms"]["value"]),
        min_insync_replicas=int(configs["min.insync.replicas"]["value"]),
        unsafe=_unsafe(configs),
        size_bytes=size,
    )


def _partition(entry: dict[str, Any]) -> PartitionState:
    leader, replicas, isr = entry["leader_id"], entry["replica_nodes"], entry["isr_nodes"]
    return PartitionState(
        partition=entry["partition_index"],
        leader=leader if leader >= 0 else None,
        replicas=sorted(replicas),
        isr=sorted(isr),
        under_replicated=len(isr) < len(replicas),
    )


def _sizes(client: KafkaAdminClient, names: Sequence[str]) -> Counter[str]:
    sizes = Counter[str]()
    for _, topic in _log_topics(client, names):
        sizes[topic["name"]] += sum(partition["partition_size"] for partition in topic["partitions"])
    return sizes


def _log_topics(client: KafkaAdminClient, names: Sequence[str]) -> list[tuple[int, dict[str, Any]]]:
    found = []
    for broker in living_brokers(client):
        try:
            [answer] = client.describe_log_dirs(list(names), brokers=[broker])
        except KafkaError:  # it has just gone; the others know enough
            continue
        found += [(broker, topic) for folder in answer["log_dirs"] for topic in folder["topics"]]
    return found
