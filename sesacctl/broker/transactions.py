"""Open transactions of other producers: what is behind one, no consumer can read until it ends."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from kafka import KafkaAdminClient, TopicPartition
from kafka.errors import KafkaError

from sesacctl import formatting
from sesacctl.broker.clients import admin_client
from sesacctl.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenTransaction:
    """What holds back the end of a log that can be read, at `offset`; `held` offsets are behind it.

    `producer_id` and `transactional_id` are None where the brokers do not tell, `seconds` since it began as well.
    """

    topic: str
    partition: int
    offset: int
    held: int
    producer_id: int | None
    transactional_id: str | None
    seconds: float | None

    @property
    def sentence(self) -> str:
        """For people."""
        who = "" if self.producer_id is None else f" of producer id {self.producer_id}"
        who += f" ({self.transactional_id})" if self.transactional_id else ""
        since = "" if self.seconds is None else f", open for {formatting.duration_text(self.seconds)}"
        behind = formatting.plural(self.held, "offset")
        return f"{behind} behind an open transaction{who} on {self.topic}-{self.partition}{since}"


def open_transactions(settings: Settings, held: Mapping[tuple[str, int], tuple[int, int]]) -> list[OpenTransaction]:
    """What holds back each log, by topic and partition, with its last stable offset and its end; asks if there is one.

    Raises:
        ServerUnreachable: no broker answers in time.
        ServerRefused: authentication or authorization failed.
    """
    if not held:
        return []
    with admin_client(settings) as client:
        owners = _owners(client, [TopicPartition(*each) for each in held])
        names = _names(client, {producer for producer, _ in owners.values()})
    found = []
    for (topic, partition), (stable_end, end) in held.items():
        producer_id, wrote_ms = owners.get(TopicPartition(topic, partition), (None, None))
        transactional_id, began_ms = names.get(producer_id, (None, wrote_ms))
        found.append(
            OpenTransaction(
                topic=topic,
                partition=partition,
                offset=stable_end,
                held=end - stable_end,
                producer_id=producer_id,
                transactional_id=transactional_id,
                seconds=None if began_ms is None else max(0.0, time.time() - began_ms / 1000),
            )
        )
    return found


def _owners(client: KafkaAdminClient, partitions: list[TopicPartition]) -> dict[TopicPartition, tuple[int, int]]:
    """The producer of each partition's oldest open transaction, and when it last wrote, in ms since 1970."""
    try:
        answer = client.describe_producers(partitions)
    except KafkaError:  # no right to Read, or a leader is moving
        return {}
    found = {}
    for tp, state in answer.items():
        open_ones = [each for each in state.active_producers if each.current_transaction_start_offset >= 0]
        if open_ones:
            oldest = min(open_ones, key=lambda each: int(each.current_transaction_start_offset))
            found[tp] = (oldest.producer_id, oldest.last_timestamp)
    return found


def _names(client: KafkaAdminClient, producers: set[int]) -> dict[int | None, tuple[str, int | None]]:
    """Transactional id and start of these producers' transactions, as far as the brokers tell."""
    try:
        listed = client.list_transactions(producer_id_filters=list(producers)) if producers else {}
        ids = {each.transactional_id: each.producer_id for found in listed.values() for each in found}
        described = client.describe_transactions(list(ids))
    except KafkaError:  # no right to Describe
        return {}
    return {
        ids[name]: (name, each.transaction_start_time_ms if each.transaction_start_time_ms >= 0 else None)
        for name, each in described.items()
    }
