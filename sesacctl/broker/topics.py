"""The three topics: what they should be, making them so, and how they are."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from sesacctl.broker.clients import admin, translated
from sesacctl.errors import TopicMissing
from sesacctl.events import ORDERS, PRODUCTS, USERS
from sesacctl.settings import Settings

log = logging.getLogger(__name__)

REPLICATION_FACTOR = 3
# Orders, users and products are kept equally long: an order replayed from a backup must not outlive its user.
RETENTION_MS = 30 * 24 * 3600 * 1000
PARTITIONS = {ORDERS: 9, USERS: 3, PRODUCTS: 3}


@dataclass(frozen=True, slots=True)
class TopicChange:
    """What was done to one topic; `action` is `created`, `changed` or `unchanged`."""

    topic: str
    action: str
    details: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class TopicsResult:
    """The outcome of `init`."""

    topics: list[TopicChange]
    warnings: list[str]
    dry_run: bool


@dataclass(frozen=True, slots=True)
class PartitionState:
    """One partition: broker ids of leader, replicas and in-sync replicas."""

    topic: str
    partition: int
    leader: int | None
    replicas: list[int]
    isr: list[int]

    @property
    def under_replicated(self) -> bool:
        """True when a replica is not in sync."""
        return len(self.isr) < len(self.replicas)


@dataclass(frozen=True, slots=True)
class TopicState:
    """One topic as the brokers describe it."""

    topic: str
    topic_id: str
    partitions: list[PartitionState]
    retention_ms: int
    min_insync_replicas: int
    size_bytes: int


def _settings_for(brokers: int) -> dict[str, str]:
    replicas = min(REPLICATION_FACTOR, brokers)
    return {"retention.ms": str(RETENTION_MS), "min.insync.replicas": str(max(1, replicas - 1))}


def init(settings: Settings, *, dry_run: bool = False) -> TopicsResult:
    """Create the topics, or bring partitions, retention and min ISR of existing ones to what they should be.

    Never deletes and never takes partitions away.

    Raises:
        ServerUnreachable, ServerRefused
    """
    client = admin(settings)
    try:
        with translated(settings):
            brokers = len(client.describe_cluster()["brokers"])
            existing = {topic["name"]: topic for topic in client.describe_topics() if not topic["error_code"]}
            warnings = []
            if brokers < REPLICATION_FACTOR:
                warnings.append(f"only {brokers} broker(s): replication factor {brokers}, not {REPLICATION_FACTOR}")
            changes = []
            for name, partitions in PARTITIONS.items():
                topic = settings.topic(name)
                if topic in existing:
                    changes.append(_reconcile(client, existing[topic], partitions, _settings_for(brokers), dry_run))
                else:
                    changes.append(_create(client, topic, partitions, brokers, dry_run))
            created = [change.topic for change in changes if change.action == "created"]
            if created and not dry_run:
                client.wait_for_topics(created)
    finally:
        client.close()
    for change in changes:
        log.debug("%s %s", change.topic, change.action, extra={"action": "topics.init"})
    return TopicsResult(topics=changes, warnings=warnings, dry_run=dry_run)


def _create(client: KafkaAdminClient, topic: str, partitions: int, brokers: int, dry_run: bool) -> TopicChange:
    replicas = min(REPLICATION_FACTOR, brokers)
    configs = _settings_for(brokers)
    wanted = {"num_partitions": partitions, "replication_factor": replicas, "configs": configs}
    client.create_topics({topic: wanted}, validate_only=dry_run)
    return TopicChange(
        topic,
        "created",
        [f"partitions={partitions}", f"replicas={replicas}", *(f"{k}={v}" for k, v in configs.items())],
    )


def _reconcile(
    client: KafkaAdminClient, topic: dict[str, Any], partitions: int, wanted: dict[str, str], dry_run: bool
) -> TopicChange:
    name, details = topic["name"], []
    have = len(topic["partitions"])
    if have < partitions:
        details.append(f"partitions {have} → {partitions}")
        client.create_partitions({name: partitions}, validate_only=dry_run)
    current = _configs(client, [name])[name]
    different = {key: value for key, value in wanted.items() if current.get(key) != value}
    if different:
        details += [f"{key} {current.get(key)} → {value}" for key, value in different.items()]
        client.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, different)], validate_only=dry_run)
    return TopicChange(name, "changed" if details else "unchanged", details)


def _configs(client: KafkaAdminClient, topics: list[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
    answer = client.describe_configs(resources, config_filter="all")
    return {
        topic: {key: entry["value"] for key, entry in values.items()}
        for topic, values in answer.get("topic", answer).items()
    }


def require(settings: Settings) -> dict[str, UUID]:
    """The ids of the three topics, by their names on the brokers.

    Raises:
        TopicMissing: one does not exist; ServerUnreachable, ServerRefused
    """
    names = [settings.topic(name) for name in PARTITIONS]
    client = admin(settings)
    try:
        with translated(settings):
            found = {topic["name"]: topic for topic in client.describe_topics(names) if not topic["error_code"]}
    finally:
        client.close()
    missing = [name for name in names if name not in found]
    if missing:
        raise TopicMissing(f"topic {', '.join(missing)} does not exist on {', '.join(settings.brokers)}")
    return {name: UUID(str(found[name]["topic_id"])) for name in names}


def describe(settings: Settings) -> list[TopicState]:
    """The three topics as they are.

    Raises:
        TopicMissing: one does not exist.
        ServerUnreachable, ServerRefused
    """
    names = [settings.topic(name) for name in PARTITIONS]
    client = admin(settings)
    try:
        with translated(settings):
            topics = {topic["name"]: topic for topic in client.describe_topics(names)}
            missing = [name for name in names if topics.get(name, {"error_code": 3})["error_code"]]
            if missing:
                raise TopicMissing(f"topic {', '.join(missing)} does not exist")
            configs = _configs(client, names)
            sizes = _sizes(client, names)
    finally:
        client.close()
    return [
        TopicState(
            topic=name,
            topic_id=str(topics[name]["topic_id"]),
            partitions=[_partition(name, entry) for entry in _by_index(topics[name]["partitions"])],
            retention_ms=int(configs[name]["retention.ms"]),
            min_insync_replicas=int(configs[name]["min.insync.replicas"]),
            size_bytes=sizes.get(name, 0),
        )
        for name in names
    ]


def _by_index(partitions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(partitions, key=lambda entry: int(entry["partition_index"]))


def _partition(topic: str, entry: dict[str, Any]) -> PartitionState:
    leader = entry["leader_id"]
    return PartitionState(
        topic, entry["partition_index"], leader if leader >= 0 else None, entry["replica_nodes"], entry["isr_nodes"]
    )


def _sizes(client: KafkaAdminClient, topics: list[str]) -> dict[str, int]:
    """Bytes on disk per topic, all replicas together."""
    sizes: dict[str, int] = dict.fromkeys(topics, 0)
    for broker in client.describe_log_dirs(topics):
        for folder in broker["log_dirs"]:
            for topic in folder["topics"]:
                sizes[topic["name"]] += sum(partition["partition_size"] for partition in topic["partitions"])
    return sizes
