"""The brokers and the consumer group as Kafka sees them."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from kafka import TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError

from sesacctl.broker.clients import admin, translated, unreachable
from sesacctl.broker.topic_state import living_brokers, unsafe_settings
from sesacctl.broker.topics import described
from sesacctl.errors import ServerRefused, ServerUnreachable, SesacctlError
from sesacctl.settings import Settings

BROKER_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Broker ids that are in service and those that hold our replicas; partitions of ours by what they lack.

    `newest_event`: the highest time that an event of ours has, in seconds since 1970; None if there is none.
    `unsafe`: settings of topics with which Kafka may lose what it has acknowledged.
    """

    brokers: tuple[int, ...]
    replica_brokers: tuple[int, ...]
    partitions: int
    leaderless: int
    under_replicated: int
    below_min_isr: int
    members: int
    newest_event: float | None
    unsafe: tuple[str, ...] = ()


def read_cluster(settings: Settings, *, seconds: float) -> Cluster:
    """The cluster now, with the settings' consumer group; each request takes at most `seconds`.

    Raises:
        TopicMissing: one of the three does not exist; ServerUnreachable, ServerRefused
    """
    client = admin(settings, timeout_ms=int(seconds * 1000))
    try:
        with translated(settings):
            brokers = living_brokers(client)
            found = described(settings, client)
            members = _members(client, settings.kafka_group)
            newest = _newest(client, found.values())
            unsafe = tuple(unsafe_settings(client, list(found)))
    finally:
        client.close()
    partitions = [partition for topic in found.values() for partition in topic["partitions"]]
    return Cluster(
        brokers=tuple(brokers),
        replica_brokers=tuple(sorted({replica for each in partitions for replica in each["replica_nodes"]})),
        partitions=len(partitions),
        leaderless=sum(each["leader_id"] < 0 for each in partitions),
        under_replicated=sum(len(each["isr_nodes"]) < len(each["replica_nodes"]) for each in partitions),
        below_min_isr=sum(len(each["isr_nodes"]) < max(1, len(each["replica_nodes"]) - 1) for each in partitions),
        members=members,
        newest_event=newest,
        unsafe=unsafe,
    )


def _members(client: Any, group: str) -> int:
    try:
        return len(client.describe_groups([group])[group]["members"])
    except KafkaError:  # its coordinator is moving
        return 0


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
    third start fail. All are asked at once; without `each`, the first that answers will do.

    Raises:
        ServerUnreachable, ServerRefused: none answers within `BROKER_SECONDS`.
    """
    outcomes = SimpleQueue[tuple[str, Exception | None]]()

    def ask(server: str) -> None:
        try:
            admin(_narrowed(settings, [server]), timeout_ms=int(BROKER_SECONDS * 1000)).close()
        except Exception as error:
            outcomes.put((server, error))
        else:
            outcomes.put((server, None))

    for server in settings.brokers:
        threading.Thread(target=ask, args=(server,), name=f"ask-{server}", daemon=True).start()
    heard: dict[str, Exception | None] = {}
    for _ in settings.brokers:
        server, error = outcomes.get()
        heard[server] = error
        if not (error or each):
            break
    good = [server for server, error in heard.items() if error is None]
    if not good:
        raise _why_none(settings, [error for error in heard.values() if error])
    return _narrowed(settings, good), [server for server in settings.brokers if heard.get(server)]


def _why_none(settings: Settings, errors: list[Exception]) -> Exception:
    """The most telling of them: a bug, then a refusal."""
    telling = sorted(errors, key=lambda error: (isinstance(error, SesacctlError), not isinstance(error, ServerRefused)))
    if len(errors) > 1 and isinstance(telling[0], ServerUnreachable):
        return unreachable(settings, TimeoutError())
    return telling[0]


def _narrowed(settings: Settings, servers: list[str]) -> Settings:
    return settings.model_copy(update={"kafka_bootstrap_servers": ",".join(servers)})
