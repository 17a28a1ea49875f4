"""Gaps in a log: expired records, and holes in its middle."""

from __future__ import annotations

from dataclasses import replace

import pytest
from kafka import TopicPartition

from sesacctl.broker.kafka_python.consumer_records import Record
from sesacctl.errors import OffsetGap
from sesacctl.pipeline.consume import log_gaps
from sesacctl.pipeline.sink.batch import Batch, truncate
from tests.helpers.events import batch, many_orders, records

ORDERS = TopicPartition("orders", 0)


def test_expired_records_are_passed_only_if_that_is_accepted() -> None:
    log_gaps.pass_expired(ORDERS, 20, 50, accept=True)
    with pytest.raises(OffsetGap, match=r"orders-0: offsets 20 to 49 .* have expired") as stopped:
        log_gaps.pass_expired(ORDERS, 20, 50, accept=False)
    assert "--accept-gap" in str(stopped.value.hint)


def holed(*offsets: int, seen: int = 0, end: int) -> Batch:
    """A batch with records at these offsets alone."""
    found = replace(batch(many_orders(len(offsets)), seen=seen), end=end)
    for record, offset in zip(found.records, offsets, strict=True):
        assert isinstance(record, Record)
        record.offset = offset
    return found


@pytest.mark.parametrize(
    ("found", "gap", "count"),
    [
        (holed(3, 4, end=5), "0 to 2", 3),
        (holed(0, 1, 4, end=5), "2 to 3", 2),
        (holed(0, 1, end=5), "2 to 4", 3),
        (holed(5, 9, seen=5, end=10), "6 to 8", 3),
        (holed(0, 2, 5, end=6), "1 to 1", 3),
        (holed(end=4), "0 to 3", 4),
    ],
    ids=["before the first", "between", "behind the last", "in a later batch", "two", "no record at all"],
)
def test_a_hole_is_named_and_passed_only_if_that_is_accepted(found: Batch, gap: str, count: int) -> None:
    log_gaps.pass_holes(ORDERS, found, accept=True)
    with pytest.raises(OffsetGap, match=rf"offsets {gap} .* {count} records .* middle of the log"):
        log_gaps.pass_holes(ORDERS, found, accept=False)


def test_skipped_offsets_are_not_holes() -> None:
    found = replace(holed(2, 5, end=7), skipped=[(0, 2), (3, 5), (6, 9)])
    assert (found.control, found.holes) == (5, 0)
    found = replace(found, skipped=[(0, 2), (3, 4), (6, 9)])
    assert (found.control, found.holes) == (4, 1)
    with pytest.raises(OffsetGap, match="offsets 4 to 4"):
        log_gaps.pass_holes(ORDERS, found, accept=False)


def test_a_truncated_batch_accounts_for_its_remaining_offsets() -> None:
    found = replace(holed(2, 5, end=7), skipped=[(0, 2), (3, 5), (6, 7)])
    [found] = truncate([found], 1)
    assert (found.end, found.control, found.holes) == (3, 2, 0)
    [found] = truncate([found], 0)
    assert (found.end, found.control, found.holes) == (0, 0, 0)


def test_the_mark_of_a_batch_is_its_last_record() -> None:
    found = batch(many_orders(3), seen=7)
    [last] = records([(found.records[-1].key, found.records[-1].value)], first=9)
    assert found.mark.is_of(last)
    last.timestamp += 1
    assert not found.mark.is_of(last)
    found = replace(found, records=[], leader_epoch=4)
    assert (found.mark.next_offset, found.mark.leader_epoch, found.mark.last_offset) == (10, 4, None)
