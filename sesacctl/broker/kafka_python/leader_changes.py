"""Reading on soon after a partition has another leader, as in each rolling restart of the brokers.

A broker answers the requests of a connection one after the other. kafka-python asks the leader that it knew about the
position, behind a fetch of idle partitions that the broker holds back for `fetch_max_wait_ms`, and hears from it that
it leads no more; only then it asks the new one, and `poll` does not look again when that has answered. All three waits
are taken out here.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from kafka import KafkaConsumer
from kafka.errors import KafkaTimeoutError
from kafka.future import Future

BRIEF_MS = 50
"""How long brokers hold a fetch back while a leader is being looked for."""
_METADATA_MS = 1_000


def follow_leaders(client: KafkaConsumer) -> None:
    """Have fetches return soon, and positions be validated by the new leader, while a partition's leader changes."""
    fetcher, subscription, cluster = client._fetcher, client._subscription, client._manager.cluster
    usual = fetcher.config["fetch_max_wait_ms"]
    create, validate = fetcher._create_fetch_requests, fetcher._validate_offsets_async

    def create_brief_ones() -> Any:
        assigned = list(subscription.assignment)  # another thread may change it
        changing = cluster.need_update or any(map(subscription.is_offset_validation_needed, assigned))
        fetcher.config["fetch_max_wait_ms"] = BRIEF_MS if changing else usual
        return create()

    async def validate_by_the_new_leader(timeout_ms: float | None = None) -> None:
        done = Future()
        fetcher._fetch_futures.append(done)  # what `poll` waits for
        try:
            if cluster.need_update:
                with suppress(KafkaTimeoutError):  # then by whom is known
                    await client._manager.wait_for(cluster.request_update(), _METADATA_MS)
            await validate(timeout_ms)
        finally:
            done.success(None)

    fetcher._create_fetch_requests = create_brief_ones
    fetcher._validate_offsets_async = validate_by_the_new_leader
