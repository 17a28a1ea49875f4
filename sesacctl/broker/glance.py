"""A cheap look at brokers, logs and group, several times a second, that survives brokers that are away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from kafka import TopicPartition
from kafka.errors import KafkaError

from sesacctl.broker.clients import admin_client
from sesacctl.broker.groups import read_members
from sesacctl.broker.kafka_python.admin_requests import living_brokers
from sesacctl.broker.topics import described
from sesacctl.settings import Settings

_LATEST = -1


@dataclass(frozen=True, slots=True)
class Glance:
    """Brokers in service; partitions of our topics that lack a copy or a leader; the ends of the logs; our members.

    `ends` are None where not every leader tells its own, `members` where the brokers do not know them now.
    """

    brokers: int
    out_of_sync: int
    ends: Mapping[tuple[UUID, int], int] | None
    members: int | None


def glance(settings: Settings, *, seconds: float) -> Glance:
    """How it is now; the first contact and each request take at most `seconds`.

    Raises:
        TopicMissing: one of the topics does not exist.
        ServerUnreachable: no broker answers in time.
        ServerRefused: authentication or authorization failed.
    """
    with admin_client(settings, timeout_ms=int(seconds * 1000)) as client:
        brokers = living_brokers(client)
        topics = described(settings, client)
        group = read_members(client, settings.kafka_group)
        ids = {name: UUID(str(topic["topic_id"])) for name, topic in topics.items()}
        partitions = [(name, each) for name, topic in topics.items() for each in topic["partitions"]]
        wanted = [TopicPartition(name, each["partition_index"]) for name, each in partitions]
        try:
            found = client.list_partition_offsets(dict.fromkeys(wanted, _LATEST))
            ends = {(ids[tp.topic], tp.partition): answer.offset for tp, answer in found.items()}
        except KafkaError:  # a leader is away, and no other one is chosen yet
            ends = None
    return Glance(
        brokers=len(brokers),
        out_of_sync=sum(
            each["leader_id"] < 0 or len(each["isr_nodes"]) < len(each["replica_nodes"]) for _, each in partitions
        ),
        ends=ends,
        members=None if group.problem else group.own,
    )
