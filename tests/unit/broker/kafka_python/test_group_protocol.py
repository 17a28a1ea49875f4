"""Who gets which partition: every partition has one owner who wants its topic, whatever the members are like."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from kafka.consumer.group import RoundRobinPartitionAssignor

from sesacctl.broker.kafka_python.group_protocol import RoundRobin
from sesacctl.events import PARTITIONS

CLUSTER = SimpleNamespace(partitions_for_topic=lambda topic: set(range(PARTITIONS[topic])))
TOPICS = st.sets(st.sampled_from(list(PARTITIONS)), min_size=1)


def member(number: int, topics: set[str], *, static: bool) -> Any:
    return SimpleNamespace(
        member_id=f"m-{number}",
        group_instance_id=f"i-{number}" if static else None,
        metadata=RoundRobinPartitionAssignor.metadata(sorted(topics)),
    )


def owners(assigned: dict[str, Any]) -> list[tuple[str, int, str]]:
    return sorted(
        (topic, partition, owner)
        for owner, found in assigned.items()
        for topic, partitions in found.assigned_partitions
        for partition in partitions
    )


@given(st.lists(st.tuples(TOPICS, st.booleans()), min_size=1, max_size=12))
def test_each_wanted_partition_has_one_owner_that_wants_it(kinds: list[tuple[set[str], bool]]) -> None:
    members = [member(number, topics, static=static) for number, (topics, static) in enumerate(kinds)]
    wanted = {each.member_id: set(each.metadata.topics) for each in members}
    found = owners(RoundRobin.assign(CLUSTER, members))
    everything = sorted(set().union(*wanted.values()))
    assert [(topic, number) for topic, number, _ in found] == [
        (topic, number) for topic in everything for number in range(PARTITIONS[topic])
    ]
    assert all(topic in wanted[owner] for topic, _, owner in found)


@given(st.integers(1, 20))
def test_equal_members_are_assigned_as_kafka_python_would(count: int) -> None:
    members = [member(number, set(PARTITIONS), static=True) for number in range(count)]
    theirs = RoundRobinPartitionAssignor.assign(CLUSTER, members)
    assert owners(RoundRobin.assign(CLUSTER, members)) == owners(theirs)
