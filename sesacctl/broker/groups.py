"""Taking static members out of their group: they send no LeaveGroup, and their partitions would wait for them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from kafka.admin import MemberToRemove
from kafka.errors import KafkaError

from sesacctl.broker.clients import admin
from sesacctl.errors import SesacctlError
from sesacctl.settings import Settings

log = logging.getLogger(__name__)


def leave_group(settings: Settings, members: Sequence[str], *, seconds: float) -> None:
    """Remove members by their `group.instance.id`; given up after `seconds`, as the session ends it anyway."""
    # The client bounds each of its requests, not all of them together.
    leaving = threading.Thread(target=_leave, args=(settings, members, seconds), name="leaving", daemon=True)
    leaving.start()
    leaving.join(seconds)
    if leaving.is_alive():
        log.warning("leaving the group: Kafka does not answer", extra={"action": "consume.leave"})


def _leave(settings: Settings, members: Sequence[str], seconds: float) -> None:
    try:
        client = admin(settings, timeout_ms=int(seconds * 1000))
    except SesacctlError as error:
        log.warning("leaving the group: %s", error, extra={"action": "consume.leave"})
        return
    try:
        client.remove_group_members(
            settings.kafka_group, [MemberToRemove(group_instance_id=member) for member in members]
        )
    except KafkaError as error:
        log.debug("leaving the group: %s", error, extra={"action": "consume.leave"})
    finally:
        client.close()
