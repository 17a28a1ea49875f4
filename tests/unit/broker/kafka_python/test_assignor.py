"""How partitions are shared between hosts and their instances: evenly, whoever joined first, with few moves."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.protocol.consumer.metadata import ConsumerProtocolSubscription

from sesacctl.broker.kafka_python.assignor import ByHost, GroupMember, share
from sesacctl.events import ORDERS, PARTITIONS

NUMBERS: dict[str, range] = {topic: range(count) for topic, count in PARTITIONS.items()}
TOPICS = frozenset(NUMBERS)
Found = dict[str, set[tuple[str, int]]]


def host(name: str, instances: int = 9, topics: frozenset[str] = TOPICS) -> list[GroupMember]:
    """A supervisor's static members; the broker's ids for them have no order."""
    return [
        GroupMember(id=f"{hash((name, number)):x}", instance_id=f"{name}-{number}", topics=topics)
        for number in range(instances)
    ]


def after(members: list[GroupMember], found: Found, generation: int = 1) -> list[GroupMember]:
    """The members as they join again, with what they own."""
    return [replace(each, owned=frozenset(found.get(each.id, ())), generation=generation) for each in members]


def by_host(members: list[GroupMember], found: Found, topic: str) -> dict[str, int]:
    counts: dict[str, int] = dict.fromkeys((member.host for member in members), 0)
    for member in members:
        counts[member.host] += sum(owned == topic for owned, _ in found[member.id])
    return counts


def moved(members: list[GroupMember], found: Found) -> list[tuple[str, int]]:
    """The partitions that somebody owned and somebody else got."""
    return [owned for member in members for owned in member.owned - found[member.id]]


def joined(order: list[str]) -> tuple[list[GroupMember], Found]:
    """Hosts that come one after the other."""
    members: list[GroupMember] = []
    found: Found = {}
    for generation, name in enumerate(order):
        members = after(members, found, generation) + host(name)
        found = share(members, NUMBERS)
    return members, found


def test_nine_instances_have_one_partition_of_orders_each() -> None:
    members = host("a")
    found = share(members, NUMBERS)
    assert [sum(topic == ORDERS for topic, _ in found[member.id]) for member in members] == [1] * 9
    assert sorted(map(len, found.values())) == [1] * 3 + [2] * 6


@pytest.mark.parametrize("names", ["ab", "ba", "cab", "abcd", "edcba"])
def test_hosts_share_each_topic_whoever_joined_first(names: str) -> None:
    members, found = joined(list(names))
    for topic in NUMBERS:
        counts = by_host(members, found, topic).values()
        assert max(counts) - min(counts) <= 1, topic
    totals = [sum(by_host(members, found, topic)[name] for topic in NUMBERS) for name in names]
    assert max(totals) - min(totals) <= 1


def test_a_host_that_joins_takes_its_share_and_no_more() -> None:
    members, found = joined(["a"])
    members = after(members, found) + host("b")
    found = share(members, NUMBERS)
    counts = by_host(members, found, ORDERS)
    assert sorted(counts.values()) == [4, 5]
    assert sum(topic == ORDERS for topic, _ in moved(members, found)) == 4


def test_a_host_that_leaves_has_its_partitions_shared_alone() -> None:
    members, found = joined(["a", "b", "c"])
    left = [member for member in after(members, found, 9) if member.host != "b"]
    gone = share(left, NUMBERS)
    assert sum(topic == ORDERS for topic, _ in moved(left, gone)) == 0
    assert sorted(by_host(left, gone, ORDERS).values()) == [4, 5]


def test_an_instance_that_forgot_gets_what_it_had() -> None:
    """A killed one comes back without a memory: the others keep theirs, and its own is what is left."""
    members, found = joined(["a", "b"])
    again = after(members, found, 9)
    again[4] = replace(again[4], owned=frozenset(), generation=-1)
    assert share(again, NUMBERS) == found


def test_a_small_host_has_a_small_share() -> None:
    members = host("a", 9) + host("b", 1)
    assert by_host(members, share(members, NUMBERS), ORDERS) == {"a": 8, "b": 1}


def test_of_two_owners_the_later_one_is_right() -> None:
    first, second = host("a", 2)
    stale = replace(first, owned=frozenset({(ORDERS, 0)}), generation=3)
    fresh = replace(second, owned=frozenset({(ORDERS, 0)}), generation=4)
    assert (ORDERS, 0) in share([stale, fresh], NUMBERS)[fresh.id]


members_of_any_kind = st.lists(
    st.builds(
        GroupMember,
        id=st.uuids().map(str),
        instance_id=st.none() | st.builds("{}-{}".format, st.sampled_from("abc"), st.integers(0, 12)) | st.just("x"),
        topics=st.frozensets(st.sampled_from(sorted(NUMBERS)), min_size=1),
        owned=st.frozensets(st.tuples(st.sampled_from([*NUMBERS, "gone"]), st.integers(-1, 12))),
        generation=st.integers(-1, 5),
    ),
    min_size=1,
    max_size=20,
    unique_by=lambda member: member.id,
)


@given(members_of_any_kind)
def test_each_wanted_partition_has_one_owner_that_wants_it(members: list[GroupMember]) -> None:
    found = share(members, NUMBERS)
    wanted = set[str]().union(*(member.topics for member in members))
    assert sorted(owned for each in found.values() for owned in each) == sorted(
        (topic, number) for topic in wanted for number in NUMBERS[topic]
    )
    assert all(topic in member.topics for member in members for topic, _ in found[member.id])


@given(members_of_any_kind, st.randoms())
def test_the_same_members_keep_what_they_have(members: list[GroupMember], dice: Any) -> None:
    found = share(members, NUMBERS)
    again = after(members, found, 6)
    dice.shuffle(again)
    assert share(again, NUMBERS) == found


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5))
def test_shares_are_within_one_of_the_instances_part(sizes: list[int]) -> None:
    members = [member for number, size in enumerate(sizes) for member in host("abcde"[number], size)]
    counts = by_host(members, share(members, NUMBERS), ORDERS)
    for number, size in enumerate(sizes):
        assert abs(counts["abcde"[number]] - len(NUMBERS[ORDERS]) * size / sum(sizes)) <= 1


def test_what_is_owned_travels_to_the_leader() -> None:
    cluster = SimpleNamespace(partitions_for_topic=lambda topic: set(NUMBERS[topic]))
    assignors = [ByHost() for _ in range(3)]

    def assign(present: list[int]) -> dict[str, Any]:
        joining = [
            SimpleNamespace(
                member_id=f"m{number}",
                group_instance_id=f"a-{number}",
                metadata=ConsumerProtocolSubscription.decode(assignors[number].metadata(sorted(TOPICS)).encode()),
            )
            for number in present
        ]
        found: dict[str, Any] = assignors[0].assign(cluster, joining)
        for number in present:
            assignors[number].on_assignment(found[f"m{number}"], 1)
        return {member: set(assigned.partitions()) for member, assigned in found.items()}

    before, later = assign([0, 1]), assign([0, 1, 2])
    assert all(later[member] <= before[member] for member in before)
    assert len(later["m2"]) == 5
