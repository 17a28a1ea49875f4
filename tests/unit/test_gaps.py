"""Gaps in a log, and logs that were cut."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from kafka import OffsetAndMetadata, TopicPartition

from sesacctl.errors import OffsetGap
from sesacctl.pipeline import gaps

ORDERS = TopicPartition("orders", 0)


def log(start: int, end: int) -> Any:
    """A consumer that knows one log."""
    return SimpleNamespace(
        beginning_offsets=lambda partitions, timeout_ms: dict.fromkeys(partitions, start),
        end_offsets=lambda partitions, timeout_ms: dict.fromkeys(partitions, end),
    )


def test_expired_records_are_passed_only_if_that_is_accepted() -> None:
    assert gaps.expired(log(50, 90), {ORDERS: 20}, accept=True) == {ORDERS: 50}
    assert gaps.expired(log(50, 90), {ORDERS: 60}, accept=False) == {}
    with pytest.raises(OffsetGap, match="offsets 20 to 49 have expired") as stopped:
        gaps.expired(log(50, 90), {ORDERS: 20}, accept=False)
    assert "--accept-gap" in str(stopped.value.hint)


def test_a_cut_log_is_never_passed() -> None:
    with pytest.raises(OffsetGap, match="the log was cut at 90") as stopped:
        gaps.expired(log(50, 90), {ORDERS: 100}, accept=True)
    assert "--from latest" in str(stopped.value.hint)


@pytest.mark.parametrize("end", [OffsetAndMetadata(70, "", 3), None], ids=["at a known offset", "somewhere"])
def test_records_that_brokers_lost_after_they_were_stored_stop_it(end: OffsetAndMetadata | None) -> None:
    with pytest.raises(OffsetGap, match="the log was cut at"):
        gaps.require_no_cut(log(50, 200), {ORDERS: end}, {ORDERS: 100})


def test_a_cut_above_what_is_stored_is_none() -> None:
    gaps.require_no_cut(log(50, 200), {ORDERS: OffsetAndMetadata(100, "", 3)}, {ORDERS: 100})
    gaps.require_no_cut(log(50, 200), {ORDERS: OffsetAndMetadata(0, "", 3)}, {})
