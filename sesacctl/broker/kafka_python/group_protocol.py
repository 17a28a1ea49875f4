"""What kafka-python's group members lack: an assignor for members that differ, and a word about a taken identity."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import cycle
from typing import Any

from kafka import KafkaConsumer
from kafka.consumer.group import RoundRobinPartitionAssignor
from kafka.coordinator.assignors.roundrobin import ConsumerProtocolAssignment
from kafka.errors import FencedInstanceIdError


class RoundRobin(RoundRobinPartitionAssignor):  # type: ignore[misc]
    """The same turns as kafka-python's own, static members first, by their ids.

    That one raises KeyError where members want different topics (`consume --topics`, or another application), and
    forgets some where static and other members come mixed.
    """

    @classmethod
    def assign(cls, cluster: Any, members: Sequence[Any]) -> dict[str, Any]:
        """The partitions of each member, by member id; called in the group's leader alone."""
        wanted = {member.member_id: set(member.metadata.topics) for member in members}
        order = sorted(
            members, key=lambda each: (each.group_instance_id is None, each.group_instance_id or "", each.member_id)
        )
        turns = cycle(each.member_id for each in order)
        assigned: dict[str, dict[str, list[int]]] = {member_id: defaultdict(list) for member_id in wanted}
        for topic in sorted(set().union(*wanted.values())):
            for partition in sorted(cluster.partitions_for_topic(topic) or ()):
                taker = next(member_id for member_id in turns if topic in wanted[member_id])
                assigned[taker][topic].append(partition)
        return {
            member_id: ConsumerProtocolAssignment(cls.version, sorted(found.items()), b"")
            for member_id, found in assigned.items()
        }


def notice_fencing(client: KafkaConsumer) -> None:
    """Have `poll` raise FencedInstanceIdError after a heartbeat was answered so.

    By itself, it stops its heartbeats and still fetches what is no longer its own, until it commits something.
    """
    coordinator = client._coordinator
    send = coordinator._send_heartbeat_request

    async def send_and_note() -> Any:
        member = coordinator._generation.member_id
        try:
            return await send()
        except FencedInstanceIdError:
            # What a commit sets, and each poll looks at. Having joined again meanwhile, it was fenced by itself.
            coordinator._async_commit_fenced = coordinator._generation.member_id == member
            raise

    coordinator._send_heartbeat_request = send_and_note
