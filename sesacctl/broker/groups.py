"""The consumer group: who is in it, our own instances or other applications, and taking our own out of it.

A partition that another application has, as it was given the same name by mistake, stands still here: it is stored by
nobody, and no error says so.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from kafka import KafkaAdminClient
from kafka.admin import MemberToRemove
from kafka.errors import GroupIdNotFoundError, KafkaError

from sesacctl.broker.clients import CLIENT_ID, admin, admin_client
from sesacctl.broker.kafka_python.admin_requests import assigned_partitions, group_members, instance_id
from sesacctl.broker.kafka_python.assignor import host_of
from sesacctl.errors import GroupShared, SesacctlError
from sesacctl.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A member's place in the group: its `group.instance.id`, the supervisor in it, and where Kafka sees it.

    `partitions` are `(topic, number)`; none while the group is changing. `session` is what Kafka calls it: another
    after each start of the instance.
    """

    member: str
    host: str
    address: str
    partitions: tuple[tuple[str, int], ...]
    session: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupMembers:
    """How many members are ours; each other one as `client id at host`. `problem`: why they are not known.

    `places` are of all members, ours and others.
    """

    own: int = 0
    foreign: tuple[str, ...] = ()
    problem: str | None = None
    places: tuple[Place, ...] = ()


def read_members(client: KafkaAdminClient, group: str) -> GroupMembers:
    """The members now; if the brokers cannot name them, the result says why."""
    try:
        members = group_members(client, group)
    except GroupIdNotFoundError:
        return GroupMembers()
    except KafkaError as error:
        return GroupMembers(problem=type(error).__name__)
    foreign = sorted(f"{member.client_id} at {member.client_host.lstrip('/')}" for member in _others(members))
    places = sorted(_places(members), key=lambda place: (place.host, place.partitions, place.member))
    return GroupMembers(own=len(members) - len(foreign), foreign=tuple(foreign), places=tuple(places))


def _places(members: Iterable[Any]) -> Iterator[Place]:
    for member in members:
        name = instance_id(member)
        yield Place(
            member=name or member.member_id,
            host=host_of(name) or member.client_id,
            address=member.client_host.lstrip("/"),
            partitions=tuple(assigned_partitions(member)),
            session=member.member_id,
        )


def places(settings: Settings) -> tuple[Place, ...]:
    """The places of all members, as far as the brokers tell.

    Raises:
        ServerUnreachable: no broker answers in time.
        ServerRefused: authentication or authorization failed.
    """
    with admin_client(settings) as client:
        return read_members(client, settings.kafka_group).places


def _others(members: Iterable[Any]) -> list[Any]:
    return [member for member in members if member.client_id != CLIENT_ID]


def foreign_members(settings: Settings) -> tuple[str, ...]:
    """Those of other applications, as far as the brokers tell.

    Raises:
        ServerUnreachable: no broker answers in time.
        ServerRefused: authentication or authorization failed.
    """
    with admin_client(settings) as client:
        return read_members(client, settings.kafka_group).foreign


def require_own(settings: Settings) -> None:
    """Return if no other application is known to be a member of the group.

    Raises:
        GroupShared: one is.
        ServerUnreachable: no broker answers in time.
        ServerRefused: authentication or authorization failed.
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


def leave_group(settings: Settings, members: Sequence[str], *, seconds: float) -> None:
    """Remove static members by their `group.instance.id`: they send no LeaveGroup, and their partitions would wait.

    Given up after `seconds`, as the session ends it anyway.
    """
    # The client bounds each of its requests, not all of them together.
    leaving = threading.Thread(target=_leave, args=(settings, members, seconds), name="leaving", daemon=True)
    leaving.start()
    leaving.join(seconds)
    if leaving.is_alive():
        logger.warning("leaving the group: Kafka does not answer", extra={"action": "consume.leave"})


def _leave(settings: Settings, members: Sequence[str], seconds: float) -> None:
    try:
        client = admin(settings, timeout_ms=int(seconds * 1000))
    except SesacctlError as error:
        logger.warning("leaving the group: %s", error, extra={"action": "consume.leave"})
        return
    try:
        client.remove_group_members(
            settings.kafka_group, [MemberToRemove(group_instance_id=member) for member in members]
        )
    except KafkaError as error:
        logger.debug("leaving the group: %s", error, extra={"action": "consume.leave"})
    finally:
        client.close()
