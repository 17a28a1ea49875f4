"""The brokers and the consumer group as Kafka sees them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kafka import TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError

from sesacctl.broker.clients import admin, translated, unreachable
from sesacctl.broker.topics import PARTITIONS
from sesacctl.errors import ServerRefused, SesacctlError, TopicMissing
from sesacctl.settings import Settings

BROKER_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Broker ids that are in service and those that hold our replicas; partitions of ours by what they lack.

    `newest_event`: the highest time that an event of ours has, in seconds since 1970; None if there is none.
    """

    brokers: tuple[int, ...]
    replica_brokers: tuple[int, ...]
    partitions: int
    leaderless: int
    under_replicated: int
    below_min_isr: int
    members: int
    group_state: str
    newest_event: float | None


def read_cluster(settings: Settings, *, seconds: float) -> Cluster:
    """The cluster now, with the settings' consumer group; each request takes at most `seconds`.

    Raises:
        TopicMissing: one of the three does not exist; ServerUnreachable, ServerRefused
    """
    names = [settings.topic(kind) for kind in PARTITIONS]
    client = admin(settings, timeout_ms=int(seconds * 1000))
    try:
        with translated(settings):
            brokers = [broker for broker in client.describe_cluster()["brokers"] if not broker.get("is_fenced")]
            found = {topic["name"]: topic for topic in client.describe_topics(names) if not topic["error_code"]}
            if missing := [name for name in names if name not in found]:
                raise TopicMissing(f"topic {', '.join(missing)} does not exist")
            members, state = _group(client, settings.kafka_group)
            newest = _newest(client, found.values())
    finally:
        client.close()
    partitions = [partition for topic in found.values() for partition in topic["partitions"]]
    return Cluster(
        brokers=tuple(sorted(broker["broker_id"] for broker in brokers)),
        replica_brokers=tuple(sorted({replica for each in partitions for replica in each["replica_nodes"]})),
        partitions=len(partitions),
        leaderless=sum(each["leader_id"] < 0 for each in partitions),
        under_replicated=sum(len(each["isr_nodes"]) < len(each["replica_nodes"]) for each in partitions),
        below_min_isr=sum(len(each["isr_nodes"]) < max(1, len(each["replica_nodes"]) - 1) for each in partitions),
        members=members,
        group_state=state,
        newest_event=newest,
    )


def _group(client: Any, group: str) -> tuple[int, str]:
    try:
        found = client.describe_groups([group])[group]
    except KafkaError:  # its coordinator is moving
        return 0, "Unknown"
    return len(found["members"]), str(found["group_state"])


def _newest(client: Any, topics: Iterable[dict[str, Any]]) -> float | None:
    led = [
        TopicPartition(topic["name"], partition["partition_index"])
        for topic in topics
        for partition in topic["partitions"]
        if partition["leader_id"] >= 0
    ]
    found = client.list_partition_offsets(dict.fromkeys(led, OffsetSpec.MAX_TIMESTAMP))
    newest = max((answer.timestamp for answer in found.values()), default=-1)
    return newest / 1000 if newest >= 0 else None


def answering(settings: Settings, *, each: bool) -> tuple[Settings, list[str]]:
    """The settings with only those bootstrap servers that answer, and the addresses of those that do not.

    kafka-python draws one of the servers and gives it all the time there is, so that a broker that hangs makes every
    third start fail. Without `each`, the first that answers will do.

    Raises:
        ServerUnreachable, ServerRefused: none answers within `BROKER_SECONDS` (each in turn, without `each`).
    """
    errors: dict[str, SesacctlError] = {}

    def ask(server: str) -> None:
        try:
            admin(_narrowed(settings, [server]), timeout_ms=int(BROKER_SECONDS * 1000)).close()
        except SesacctlError as error:
            errors[server] = error

    good: list[str] = []
    if each:
        threads = [threading.Thread(target=ask, args=(server,), daemon=True) for server in settings.brokers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        good = [server for server in settings.brokers if server not in errors]
    for server in () if each else settings.brokers:
        ask(server)
        if server not in errors:
            good = [server]
            break
    if not good:
        last = next(reversed(errors.values()))
        one_reason = isinstance(last, ServerRefused) or len(errors) == 1
        raise last if one_reason else unreachable(settings, TimeoutError())
    return _narrowed(settings, good), [server for server in settings.brokers if server in errors]


def _narrowed(settings: Settings, servers: list[str]) -> Settings:
    return settings.model_copy(update={"kafka_bootstrap_servers": ",".join(servers)})
