"""Requests that kafka-python's admin client can send, and has no public way to ask for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from kafka import IsolationLevel, KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.coordinator.assignors.roundrobin import ConsumerProtocolAssignment
from kafka.errors import GroupIdNotFoundError, IncompatibleBrokerVersion, KafkaError, for_code
from kafka.protocol.api_message import ApiMessage
from kafka.structs import OffsetAndTimestamp

# What kafka-python lacks: DescribeGroups hides a group with members of KIP-848's protocol. Its class of the answer is
# found by the number in its schema.
_ConsumerGroupDescribe, _ = (
    type(ApiMessage)(f"ConsumerGroupDescribe{which}", (ApiMessage,), {}, load_json=__package__)
    for which in ("Request", "Response")
)


def living_brokers(client: KafkaAdminClient) -> list[int]:
    """The ids of the brokers in service, sorted; Kafka's own errors.

    From Metadata, which names no others in any version. DescribeCluster does not help: kafka-python reads fields that
    only Kafka 3.7 and 4.0 brought, and asks for fenced ones too.
    """
    metadata: dict[str, Any] = client._manager.run(client._get_cluster_metadata, [])
    return sorted(int(broker["node_id"]) for broker in metadata["brokers"])


def brokers_and_topics(client: KafkaAdminClient, names: Sequence[str]) -> tuple[list[int], list[dict[str, Any]]]:
    """`living_brokers`, and what `describe_topics` tells of these topics, in one request; Kafka's own errors."""
    metadata: dict[str, Any] = client._manager.run(client._get_cluster_metadata, list(names))
    return sorted(int(broker["node_id"]) for broker in metadata["brokers"]), metadata["topics"]


def list_offsets(
    client: KafkaAdminClient, leaders: Mapping[TopicPartition, int], spec: OffsetSpec
) -> tuple[dict[TopicPartition, OffsetAndTimestamp], list[KafkaError]]:
    """`list_partition_offsets`, without another look at who leads: one request to each of the `leaders`.

    The errors are those of leaders that did not tell, or are not it any more.
    """
    found: tuple[dict[TopicPartition, OffsetAndTimestamp], list[KafkaError]]
    found = client._manager.run(_list_offsets, client, leaders, spec)
    return found


async def _list_offsets(
    client: KafkaAdminClient, leaders: Mapping[TopicPartition, int], spec: OffsetSpec
) -> tuple[dict[TopicPartition, OffsetAndTimestamp], list[KafkaError]]:
    by_leader: dict[int, dict[TopicPartition, OffsetSpec]] = defaultdict(dict)
    for partition, leader in leaders.items():
        by_leader[leader][partition] = spec
    found: dict[TopicPartition, OffsetAndTimestamp] = {}
    errors: list[KafkaError] = []
    for leader, wanted in by_leader.items():
        request = client._list_partition_offsets_request(wanted, IsolationLevel.READ_UNCOMMITTED.value)
        try:
            response = await client._manager.send(request, node_id=leader)
            found |= client._list_partition_offsets_process_response(response)
        except KafkaError as error:
            errors.append(error)
    return found, errors


def group_members(client: KafkaAdminClient, group: str) -> list[Any]:
    """The members of a consumer group of any protocol, with `client_id` and `client_host`; Kafka's own errors.

    Raises:
        GroupIdNotFoundError: there is no such group.
    """
    members: list[Any] = client._manager.run(_members, client, group)
    return members


def instance_id(member: Any) -> str | None:
    """The `group.instance.id` of one of `group_members`; None if it has none."""
    found: str | None = getattr(member, "group_instance_id", None) or getattr(member, "instance_id", None)
    return found


def assigned_partitions(member: Any) -> list[tuple[str, int]]:
    """Topic and number of what one of `group_members` has, sorted; nothing while the group is changing."""
    if hasattr(member, "assignment"):  # KIP-848
        topics = [(topic.topic_name, topic.partitions) for topic in member.assignment.topic_partitions]
    else:
        raw = member.member_assignment
        topics = ConsumerProtocolAssignment.decode(raw).assigned_partitions if raw else []
    return sorted((topic, number) for topic, numbers in topics for number in numbers)


async def _members(client: KafkaAdminClient, group: str) -> list[Any]:
    coordinator = (await client._find_coordinator_ids([group]))[group]
    try:
        return await _ask(client, client._describe_groups_request([group]), coordinator)
    except GroupIdNotFoundError:  # also said of one with members of KIP-848's protocol
        try:
            return await _ask(client, _ConsumerGroupDescribe(group_ids=[group]), coordinator)
        except IncompatibleBrokerVersion:
            return []


async def _ask(client: KafkaAdminClient, request: Any, coordinator: Any) -> list[Any]:
    [described] = (await client._manager.send(request, node_id=coordinator)).groups
    if described.error_code:
        raise for_code(described.error_code)(described.error_message)
    return list(described.members)
