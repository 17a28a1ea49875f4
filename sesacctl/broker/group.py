"""Who is in the consumer group: our own instances, and other applications that were given the same name by mistake.

A partition that another application has stands still here: it is stored by nobody, and no error says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import GroupIdNotFoundError, IncompatibleBrokerVersion, KafkaError, for_code
from kafka.protocol.api_message import ApiMessage

from sesacctl.broker.clients import CLIENT_ID, admin, translated
from sesacctl.errors import GroupShared, SesacctlError
from sesacctl.settings import Settings

# What kafka-python lacks: DescribeGroups hides a group with members of KIP-848's protocol. Its class of the answer is
# found by the number in its schema.
_ConsumerGroupDescribe, _ = (
    type(ApiMessage)(f"ConsumerGroupDescribe{which}", (ApiMessage,), {}, load_json=__package__)
    for which in ("Request", "Response")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMembers:
    """How many members are ours; each other one as `client id at host`. `problem`: why nobody can say."""

    own: int = 0
    foreign: tuple[str, ...] = ()
    problem: str | None = None


def read_members(client: KafkaAdminClient, group: str) -> GroupMembers:
    """The members now; whatever keeps the brokers from telling is in the result."""
    try:
        members = client._manager.run(_members, client, group)
    except GroupIdNotFoundError:
        return GroupMembers()
    except KafkaError as error:
        return GroupMembers(problem=type(error).__name__)
    foreign = sorted(f"{member.client_id} at {member.client_host.lstrip('/')}" for member in _others(members))
    return GroupMembers(own=len(members) - len(foreign), foreign=tuple(foreign))


def _others(members: Iterable[Any]) -> list[Any]:
    return [member for member in members if member.client_id != CLIENT_ID]


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


def foreign_members(settings: Settings) -> tuple[str, ...]:
    """Those of other applications, as far as the brokers tell.

    Raises:
        ServerUnreachable, ServerRefused
    """
    client = admin(settings)
    try:
        with translated(settings):
            return read_members(client, settings.kafka_group).foreign
    finally:
        client.close()


def require_own(settings: Settings) -> None:
    """Return if no other application is known to be a member of the group.

    Raises:
        GroupShared: one is; ServerUnreachable, ServerRefused
    """
    if foreign := foreign_members(settings):
        raise shared(settings, foreign)


def shared(settings: Settings, foreign: Sequence[str]) -> GroupShared:
    """The error that names them."""
    return GroupShared(
        f"consumer group {settings.kafka_group} has members of another application: {', '.join(foreign)}"
    )


def refused(settings: Settings) -> SesacctlError:
    """The error for a group that did not let us in, as its members have another protocol or assignor."""
    try:
        require_own(settings)
    except SesacctlError as error:
        return error
    return GroupShared(f"consumer group {settings.kafka_group} has members with another protocol or assignor")
