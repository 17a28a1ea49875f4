"""Records that PostgreSQL does not have and Kafka has no longer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from kafka import TopicPartition

from sesacctl.broker import clients
from sesacctl.broker.topic_state import wait_until
from sesacctl.errors import OffsetGap
from sesacctl.pipeline.batch import Batch

log = logging.getLogger(__name__)

_AGREE_SECONDS = 3.0


def is_same_topic(consumer: Any, ids: Mapping[str, UUID]) -> bool:
    """True if the topics still have these ids, by name; one that was created again begins anew.

    Brokers learn of that one after the other: the answer is yes when none has named another id for some seconds.
    """

    def is_in_doubt() -> bool:
        return not clients.refresh_topics(consumer) or any(
            clients.topic_id(consumer, topic) != known for topic, known in ids.items()
        )

    return not wait_until(is_in_doubt, _AGREE_SECONDS)


def pass_expired(tp: TopicPartition, first: int, start: int, *, accept: bool) -> None:
    """Return if offsets below the log's start may be counted as expired.

    Raises:
        OffsetGap: nobody has accepted that.
    """
    _pass(tp, first, start, "they have expired", accept=accept)


def pass_holes(tp: TopicPartition, batch: Batch, *, accept: bool) -> None:
    """Return if what is missing between the records of a batch may be counted as expired.

    Raises:
        OffsetGap: nobody has accepted that; it names the first hole.
    """
    seen = sorted([*((record.offset, record.offset + 1) for record in batch.records), *batch.skipped])
    first = batch.seen
    for begin, end in [*seen, (batch.end, batch.end)]:
        if begin > first:
            why = f"something has deleted {batch.holes} records from the middle of the log, such as compaction"
            _pass(tp, first, begin, why, accept=accept)
            return
        first = max(first, end)


def _pass(tp: TopicPartition, first: int, end: int, why: str, *, accept: bool) -> None:
    gap = OffsetGap(f"{tp.topic}-{tp.partition}", first, end, why)
    if not accept:
        raise gap
    log.warning("%s", gap, extra={"action": "consume.gap"})
