"""Every topic of the brokers that this user may see."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError

from sesacctl.broker.clients import admin_client
from sesacctl.broker.offsets import bounds_of
from sesacctl.events import PARTITIONS, Kind
from sesacctl.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSummary:
    """One topic; `kind` is what the pipeline keeps in it, None if it is not one of its three.

    `offsets` are in the logs now, control records among them; None where they are not known.
    """

    topic: str
    kind: Kind | None
    partitions: int
    replicas: int
    offsets: int | None


def list_topics(settings: Settings) -> list[TopicSummary]:
    """The pipeline's topics first, then the others by name; those that Kafka keeps for itself are left out.

    Raises:
        ServerUnreachable: no broker answers in time.
        ServerRefused: authentication or authorization failed.
    """
    kinds = {settings.topic(kind): kind for kind in PARTITIONS}
    places = {name: place for place, name in enumerate(kinds)}
    with admin_client(settings) as client:
        topics = [
            topic for topic in client.describe_topics() if not topic["error_code"] and not topic.get("is_internal")
        ]
        offsets = _offsets(client, topics)
    found = [
        TopicSummary(
            topic=topic["name"],
            kind=kinds.get(topic["name"]),
            partitions=len(topic["partitions"]),
            replicas=min((len(each["replica_nodes"]) for each in topic["partitions"]), default=0),
            offsets=offsets.get(topic["name"]),
        )
        for topic in topics
    ]
    return sorted(found, key=lambda each: (places.get(each.topic, len(places)), each.topic))


def _offsets(client: KafkaAdminClient, topics: Sequence[dict[str, Any]]) -> dict[str, int]:
    """How many offsets each topic's logs have; those that do not answer, or are deleted meanwhile, are left out."""
    led = [topic for topic in topics if all(each["leader_id"] >= 0 for each in topic["partitions"])]
    try:
        return _count(client, led)
    except KafkaError:  # of one of them: the others are asked one by one
        found: dict[str, int] = {}
        for topic in led:
            with suppress(KafkaError):
                found |= _count(client, [topic])
        return found


def _count(client: KafkaAdminClient, topics: Sequence[dict[str, Any]]) -> dict[str, int]:
    found = {topic["name"]: 0 for topic in topics}
    wanted = [
        TopicPartition(topic["name"], each["partition_index"]) for topic in topics for each in topic["partitions"]
    ]
    for log in bounds_of(client, wanted):
        found[log.topic] += log.end - log.start
    return found
