"""Who gets which partition: each host its share of every topic, and each of its instances; few partitions move."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kafka.coordinator.assignors.roundrobin import ConsumerProtocolAssignment
from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor

_NUMBERED = re.compile(r"(.*)-(\d+)", re.DOTALL)


def host_of(instance_id: str | None) -> str | None:
    """The supervisor in a `group.instance.id`; the whole of one that has another form."""
    found = _NUMBERED.fullmatch(instance_id or "")
    return found[1] if found else instance_id or None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMember:
    """A member of the consumer group as the leader sees it; `owned` is what it says that generation gave it."""

    id: str
    topics: frozenset[str]
    instance_id: str | None = None
    owned: frozenset[tuple[str, int]] = frozenset()
    generation: int = -1

    @property
    def host(self) -> str:
        """The supervisor it belongs to; one without an id of that form stands for itself."""
        return host_of(self.instance_id) or self.id

    @property
    def rank(self) -> tuple[bool, int, str, str]:
        """Static members first, by their number."""
        found = _NUMBERED.fullmatch(self.instance_id or "")
        return self.instance_id is None, int(found[2]) if found else 0, self.instance_id or "", self.id


@dataclass(frozen=True, slots=True)
class _Share:
    """A host or a member that takes part in a topic: it stands for `weight` members, with `total` of other topics."""

    rank: tuple[object, ...]
    weight: int
    total: int
    claimed: int


def share(members: Sequence[GroupMember], partitions: Mapping[str, Iterable[int]]) -> dict[str, set[tuple[str, int]]]:
    """The partitions of each member, by its id.

    Of every topic, hosts have as many partitions as their instances' part in all of them, rounded up or down, and so
    have the instances of a host. Larger topics are dealt out first, and what is left over goes to the one that has
    least. The owner of a partition keeps it as far as that allows, so the same members get the same again.
    """
    assigned: dict[str, set[tuple[str, int]]] = {member.id: set() for member in members}
    numbers = {topic: sorted(found) for topic, found in partitions.items()}
    for topic in sorted(numbers, key=lambda topic: (-len(numbers[topic]), topic)):
        takers = [member for member in members if topic in member.topics]
        if not takers:
            continue
        owners = _owners(topic, numbers[topic], takers)
        quotas = _quotas(len(numbers[topic]), takers, owners, assigned)
        _deal(topic, numbers[topic], owners, quotas, assigned)
    return assigned


def _owners(topic: str, numbers: Iterable[int], takers: Sequence[GroupMember]) -> dict[int, str]:
    """Who owned each partition last, by what the members say; of two that say so, the later generation is right."""
    oldest_first = sorted(takers, key=lambda member: (member.generation, member.rank))
    wanted = set(numbers)
    return {
        number: member.id
        for member in oldest_first
        for claimed, number in member.owned
        if claimed == topic and number in wanted
    }


def _quotas(
    count: int,
    takers: Sequence[GroupMember],
    owners: Mapping[int, str],
    assigned: Mapping[str, set[tuple[str, int]]],
) -> dict[str, int]:
    """How many partitions of one topic each member gets: first what each host gets, then each member of it."""
    claims: dict[str, int] = defaultdict(int)
    for owner in owners.values():
        claims[owner] += 1
    hosts: dict[str, list[GroupMember]] = defaultdict(list)
    for member in takers:
        hosts[member.host].append(member)

    def of(rank: tuple[object, ...], group: Sequence[GroupMember]) -> _Share:
        total = sum(len(assigned[member.id]) for member in group)
        return _Share(rank, len(group), total, sum(claims[member.id] for member in group))

    quotas: dict[str, int] = {}
    for host, quota in _in_parts(count, {host: of((host,), group) for host, group in hosts.items()}).items():
        quotas |= _in_parts(quota, {member.id: of(member.rank, [member]) for member in hosts[host]})
    return quotas


def _in_parts(count: int, shares: Mapping[str, _Share]) -> dict[str, int]:
    """`count` in proportion to the weights, by the largest remainders.

    Of equal ones, who has least of other topics comes first, then who would keep what it owned.
    """
    weights = sum(each.weight for each in shares.values())
    parts = {key: count * each.weight // weights for key, each in shares.items()}

    def need(key: str) -> tuple[object, ...]:
        each = shares[key]
        return -(count * each.weight % weights), each.total / each.weight, parts[key] - each.claimed, each.rank

    for key in sorted(shares, key=need)[: count - sum(parts.values())]:
        parts[key] += 1
    return parts


def _deal(
    topic: str,
    numbers: Iterable[int],
    owners: Mapping[int, str],
    quotas: Mapping[str, int],
    assigned: Mapping[str, set[tuple[str, int]]],
) -> None:
    """Leave partitions with their owners up to their quotas, and give the others to who has fewer."""
    left = dict(quotas)
    free = []
    for number in numbers:
        owner = owners.get(number)
        if owner is not None and left[owner]:
            left[owner] -= 1
            assigned[owner].add((topic, number))
        else:
            free.append(number)
    takers = (member for member, quota in left.items() for _ in range(quota))
    for number, taker in zip(free, takers, strict=True):
        assigned[taker].add((topic, number))


class ByHost(StickyPartitionAssignor):  # type: ignore[misc]
    """`share`, with what members owned carried as kafka-python's own sticky assignor carries it."""

    name = "sesacctl-by-host"

    def assign(self, cluster: Any, members: Sequence[Any]) -> dict[str, Any]:
        """The partitions of each member, by member id; called in the group's leader alone."""
        known = [_known(self, member) for member in members]
        topics = frozenset[str]().union(*(member.topics for member in known))
        partitions = {topic: cluster.partitions_for_topic(topic) or () for topic in topics}
        return {member: _protocol(self.version, found) for member, found in share(known, partitions).items()}


def _known(assignor: StickyPartitionAssignor, member: Any) -> GroupMember:
    before = assignor.parse_member_metadata(member.metadata)
    return GroupMember(
        id=member.member_id,
        topics=frozenset(member.metadata.topics),
        instance_id=member.group_instance_id,
        owned=frozenset((partition.topic, partition.partition) for partition in before.partitions),
        generation=before.generation,
    )


def _protocol(version: int, found: set[tuple[str, int]]) -> ConsumerProtocolAssignment:
    topics: dict[str, list[int]] = defaultdict(list)
    for topic, number in sorted(found):
        topics[topic].append(number)
    return ConsumerProtocolAssignment(version, sorted(topics.items()), b"")
