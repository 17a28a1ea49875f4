"""The three topics: what they should be, and making them so."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import TopicAlreadyExistsError, TopicAuthorizationFailedError

from sesacctl.broker.clients import admin_client
from sesacctl.broker.kafka_python.admin_requests import living_brokers
from sesacctl.broker.topic_state import (
    SAFE,
    PartitionState,
    Retention,
    TopicState,
    brokers_with,
    existing_topics,
    read_topics,
    retention_of,
    unsafe_settings,
)
from sesacctl.errors import ServerRefused, TopicMissing
from sesacctl.events import PARTITIONS
from sesacctl.settings import Settings
from sesacctl.waiting import wait_until

logger = logging.getLogger(__name__)

REPLICATION_FACTOR = 3
# Orders, users and products are kept equally long: an order replayed from a backup must not outlive its user.
RETENTION_MS = 30 * 24 * 3600 * 1000
_WAIT_SECONDS = 30.0
YOUNG_SECONDS = 2.0


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


def describe(settings: Settings) -> list[TopicState]:
    """The three topics as they are.

    Raises:
        TopicMissing: one does not exist.
        ServerUnreachable: no broker answers in time.
        ServerRefused: authentication or authorization failed.
    """
    names = _names(settings)
    with admin_client(settings) as client:
        states = read_topics(client, names)
    raise_missing(settings, names, [state.topic for state in states])
    return states


def require(settings: Settings) -> dict[str, UUID]:
    """The ids of the three topics, by their names on the brokers.

    Raises:
        TopicMissing: one does not exist.
        ServerUnreachable: no broker answers in time.
        ServerRefused: authentication or authorization failed.
    """
    names = _names(settings)
    found: dict[str, UUID] = {}

    def look() -> bool:
        found.update({name: UUID(str(topic["topic_id"])) for name, topic in existing_topics(client, names).items()})
        return len(found) == len(names)

    with admin_client(settings) as client:
        wait_until(look, YOUNG_SECONDS)  # a broker may learn of a new topic later than its neighbour
    raise_missing(settings, names, found)
    return found


def unsafe(settings: Settings) -> list[str]:
    """Settings of the three topics with which Kafka may lose what it has acknowledged; errors as `described`."""
    with admin_client(settings) as client:
        return unsafe_settings(client, list(described(settings, client)))


def retentions(settings: Settings) -> dict[str, Retention]:
    """For how long each of the three topics keeps a record, by name; errors as `describe`."""
    with admin_client(settings) as client:
        return {name: retention_of(client, name) for name in described(settings, client)}


def described(settings: Settings, client: KafkaAdminClient) -> dict[str, dict[str, Any]]:
    """Kafka's own description of the three topics, by name. Raises TopicMissing, and Kafka's own errors."""
    found = existing_topics(client, names := _names(settings))
    raise_missing(settings, names, found)
    return found


def init(settings: Settings, *, dry_run: bool = False) -> TopicsResult:
    """Create the topics, or bring partitions, replicas, retention and min ISR of existing ones to what they should be.

    Never deletes and never takes partitions or replicas away. When it returns, all brokers know what is new.

    Raises:
        TopicMissing: somebody deletes one meanwhile.
        ServerUnreachable: no broker answers in time.
        ServerRefused: authentication or authorization failed.
    """
    with admin_client(settings) as client:
        setup = _Setup(client, dry_run)
        wanted = dict(zip(_names(settings), PARTITIONS.values(), strict=True))
        # The controller knows at once what exists; a broker may still show a topic that was deleted just now.
        created = {topic: setup.create(topic, partitions) for topic, partitions in wanted.items()}
        existing = setup.read([topic for topic, change in created.items() if change is None])
        changed = {state.topic: setup.reconcile(state, wanted[state.topic]) for state in existing}
        changes = [change for topic in wanted if (change := created[topic] or changed.get(topic))]
        raise_missing(settings, list(wanted), [change.topic for change in changes])
        setup.wait_until_known([change.topic for change in changes if change.action == "created"])
    return TopicsResult(topics=changes, warnings=setup.warnings, dry_run=dry_run)


class _Setup:
    """What `init` does to one topic after the other."""

    def __init__(self, client: KafkaAdminClient, dry_run: bool) -> None:
        self._client, self._dry_run = client, dry_run
        self._brokers = living_brokers(client)
        self._replicas = min(REPLICATION_FACTOR, len(self._brokers))
        self._refused: TopicAuthorizationFailedError | None = None
        self.warnings: list[str] = []
        if self._replicas < REPLICATION_FACTOR:
            self.warnings.append(
                f"only {self._replicas} broker(s): replication factor {self._replicas}, not {REPLICATION_FACTOR};"
                " start the others, then run this again"
            )

    def create(self, topic: str, partitions: int) -> TopicChange | None:
        """What was made; None where the topic exists, or may not be made."""
        configs = self._configs(self._replicas)
        wanted = {"num_partitions": partitions, "replication_factor": self._replicas, "configs": configs}
        try:
            self._client.create_topics({topic: wanted}, validate_only=self._dry_run)
        except TopicAlreadyExistsError:
            return None
        except TopicAuthorizationFailedError as error:  # Kafka says so even where it exists
            self._refused = error
            return None
        settings = (f"{key}={value}" for key, value in configs.items())
        return TopicChange(topic, "created", [f"partitions={partitions}", f"replicas={self._replicas}", *settings])

    def read(self, topics: Sequence[str]) -> list[TopicState]:
        """Those that exist, once the brokers know of them; what `create` was refused where one does not."""
        found: list[TopicState] = []

        def look() -> bool:
            found[:] = read_topics(self._client, topics)
            return len(found) == len(topics)

        if not wait_until(look, YOUNG_SECONDS if self._refused else _WAIT_SECONDS) and self._refused:
            raise self._refused
        return found

    def reconcile(self, state: TopicState, partitions: int) -> TopicChange:
        details: list[str] = []
        replicas = self._reconcile_replicas(state, details)
        have = len(state.partitions)
        if have < partitions:
            self._client.create_partitions({state.topic: partitions}, validate_only=self._dry_run)
            details.append(f"partitions {have} → {partitions}")
            self.warnings.append(f"{state.topic}: keys move to other partitions, so order per key starts over")
        elif have > partitions:
            self.warnings.append(f"{state.topic} has {have} partitions, more than the {partitions} it needs: left so")
        current = {"retention.ms": state.retention_ms, "min.insync.replicas": state.min_insync_replicas, **SAFE}
        current |= dict(each.split("=", 1) for each in state.unsafe)
        wanted = {key: value for key, value in self._configs(replicas).items() if str(current[key]) != value}
        if wanted:
            self._alter(state.topic, wanted)
            details += [f"{key} {current[key]} → {value}" for key, value in wanted.items()]
        return TopicChange(state.topic, "changed" if details else "unchanged", details)

    def wait_until_known(self, topics: Sequence[str]) -> None:
        """Creation is answered by one broker; another one may not know the topic for some time."""
        if not topics or self._dry_run:
            return
        expected = {
            (broker, topic["name"], partition["partition_index"])
            for topic in self._client.describe_topics(list(topics))
            for partition in topic["partitions"]
            for broker in partition["replica_nodes"]
            if broker in self._brokers
        }
        self._client.wait_for_topics(list(topics))
        if not wait_until(lambda: expected <= brokers_with(self._client, topics), _WAIT_SECONDS):
            self.warnings.append(f"after {_WAIT_SECONDS:g} s, not all brokers know of {', '.join(topics)}")

    def _configs(self, replicas: int) -> dict[str, str]:
        return {"retention.ms": str(RETENTION_MS), "min.insync.replicas": str(max(1, replicas - 1)), **SAFE}

    def _reconcile_replicas(self, state: TopicState, details: list[str]) -> int:
        """Add replicas where there are too few; how many each partition has at the least, in the end."""
        few = [each for each in state.partitions if len(each.replicas) < self._replicas]
        if not few:
            return min(REPLICATION_FACTOR, *(len(each.replicas) for each in state.partitions))
        details.append(f"replicas {min(len(each.replicas) for each in few)} → {self._replicas}")
        if not self._dry_run:
            plan = {TopicPartition(state.topic, each.partition): self._more_replicas(each) for each in few}
            refused = [error for error in self._client.alter_partition_reassignments(plan).values() if error]
            if refused:
                raise refused[0]
            # min ISR is raised only after that: with fewer replicas than that, nothing could be written meanwhile.
            if not wait_until(lambda: not self._client.list_partition_reassignments(list(plan)), _WAIT_SECONDS):
                self.warnings.append(f"{state.topic}: its new replicas are still being filled; run this again later")
                return 1
        return self._replicas

    def _more_replicas(self, state: PartitionState) -> list[int]:
        """The replicas there are and further brokers, starting elsewhere for each partition."""
        others = [broker for broker in self._brokers if broker not in state.replicas]
        start = state.partition % len(others)
        return (state.replicas + others[start:] + others[:start])[: self._replicas]

    def _alter(self, topic: str, configs: dict[str, str]) -> None:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs)
        answer = self._client.alter_configs([resource], validate_only=self._dry_run)["topic"][topic]
        if answer != "OK":  # kafka-python does not raise it
            raise ServerRefused(
                f"the settings of {topic} cannot be changed: {answer}",
                hint="change them with the brokers' own tools, then sesacctl topics init",
            )


def _names(settings: Settings) -> list[str]:
    return [settings.topic(kind) for kind in PARTITIONS]


def raise_missing(settings: Settings, names: Sequence[str], found: Iterable[str]) -> None:
    """Nothing if all of `names` were found.

    Raises:
        TopicMissing: they were not.
    """
    if missing := [name for name in names if name not in set(found)]:
        raise TopicMissing(f"topic {', '.join(missing)} does not exist on {', '.join(settings.brokers)}")
