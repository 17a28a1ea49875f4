"""Records that PostgreSQL does not have and Kafka has no longer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from kafka import OffsetAndMetadata, TopicPartition

from sesacctl.broker import clients
from sesacctl.broker.topic_state import wait_until
from sesacctl.errors import OffsetGap

_AGREE_SECONDS = 3.0


def is_same_topic(consumer: Any, ids: Mapping[str, UUID]) -> bool:
    """Whether records are missing in the topics that were read, by name; one that was created again begins anew.

    Brokers learn of that one after the other: the answer is yes when none has named another id for some seconds.
    """

    def is_in_doubt() -> bool:
        return not clients.refresh_topics(consumer) or any(
            clients.topic_id(consumer, topic) != known for topic, known in ids.items()
        )

    return not wait_until(is_in_doubt, _AGREE_SECONDS)


def expired(consumer: Any, positions: Mapping[TopicPartition, int], *, accept: bool) -> dict[TopicPartition, int]:
    """Where the logs begin whose records from these positions on have expired; none while Kafka does not say it.

    Raises:
        OffsetGap: for an expired one unless that is to be accepted, and for a log that ends before the position.
    """
    starts, ends = (look(consumer, list(positions)) for look in (clients.log_starts, clients.log_ends))
    if starts is None or ends is None:
        return {}
    for tp, offset in positions.items():
        if offset > ends[tp] or (offset < starts[tp] and not accept):
            raise OffsetGap(_name(tp), offset, starts[tp], ends[tp])
    return {tp: starts[tp] for tp, offset in positions.items() if offset < starts[tp]}


def require_no_cut(
    consumer: Any, ends: Mapping[TopicPartition, OffsetAndMetadata | None], stored: Mapping[TopicPartition, int]
) -> None:
    """Brokers lost records that are `stored` up to an offset; what they put in their place may never be polled.

    Raises:
        OffsetGap: the log was cut below that offset, or at one that the brokers do not know.
    """
    for tp, end in ends.items():
        if tp in stored and (end is None or end.offset < stored[tp]):
            starts = clients.log_starts(consumer, [tp]) or {}
            raise OffsetGap(_name(tp), stored[tp], starts.get(tp, 0), stored[tp] if end is None else end.offset)


def _name(tp: TopicPartition) -> str:
    return f"{tp.topic}-{tp.partition}"
