"""What kafka-python does not say of a static member: that another process has taken its `group.instance.id`."""

from __future__ import annotations

from typing import Any

from kafka import KafkaConsumer
from kafka.errors import FencedInstanceIdError


def notice_fencing(client: KafkaConsumer) -> None:
    """Have `poll` raise FencedInstanceIdError after a heartbeat was answered so.

    By itself, it stops its heartbeats and goes on fetching what is no longer its own, until it commits something.
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
