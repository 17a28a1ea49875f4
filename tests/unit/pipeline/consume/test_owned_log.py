"""Whether a log is the one that was stored: by its last record, and by its leader epoch where that one is gone."""

from __future__ import annotations

from uuid import uuid4

import pytest
from kafka import TopicPartition

from sesacctl.broker.kafka_python.consumer_records import Record
from sesacctl.events import ORDERS
from sesacctl.pipeline.consume.owned_log import OwnedLog, StrangeLog
from sesacctl.pipeline.sink.batch import LogMark, mark_of
from tests.helpers.events import many_orders, records

LOG = records(many_orders(30))
TOPIC_ID = uuid4()


def owned(mark: LogMark, *, readable: bool = True, epoch_agrees: bool = True) -> OwnedLog:
    return OwnedLog(TopicPartition(ORDERS, 0), ORDERS, TOPIC_ID, mark, readable, epoch_agrees=epoch_agrees)


def stored(next_offset: int, last: int) -> LogMark:
    """What PostgreSQL has of the log after offsets up to `next_offset`, of which `last` was a record."""
    return mark_of(next_offset, LOG[last])


def test_reading_starts_at_the_last_record_and_returns_the_rest() -> None:
    log = owned(stored(10, 9))
    assert (log.begins_at, log.recognised) == (9, False)
    assert log.fresh(LOG[9:20]) == LOG[10:20]
    assert log.recognised


def test_the_last_record_is_recognised_without_new_ones() -> None:
    log = owned(stored(12, 9))
    assert log.fresh(LOG[9:10]) == []
    assert log.fresh(LOG[12:20]) == LOG[12:20]


def changed(record: Record, **values: object) -> Record:
    fields = {name: getattr(record, name) for name in Record.__struct_fields__}
    return Record(**{**fields, **values})


@pytest.mark.parametrize("epoch_agrees", [True, False])
@pytest.mark.parametrize(
    "other", [{"value": b"{}"}, {"timestamp": 5}, {"key": b"u2"}, {"key": None}], ids=["value", "time", "key", "no key"]
)
def test_another_record_in_its_place_is_never_the_same_log(other: dict[str, object], epoch_agrees: bool) -> None:
    log = owned(stored(10, 9), epoch_agrees=epoch_agrees)
    with pytest.raises(StrangeLog, match="offset 9 has another record"):
        log.fresh([changed(LOG[9], **other), *LOG[10:20]])


def test_a_record_in_a_markers_place_shows_a_cut_log() -> None:
    """Where there was a transaction's marker: later it would be taken for stored."""
    log = owned(stored(12, 9))
    assert log.fresh(LOG[9:10]) == []
    with pytest.raises(StrangeLog, match="offset 10 has another record"):
        log.fresh(LOG[10:20])


def test_a_missing_last_record_is_strange_if_epochs_disagree() -> None:
    log = owned(stored(10, 9))
    assert log.fresh(LOG[15:20]) == LOG[15:20]
    for polled in (LOG[15:20], []):
        log = owned(stored(10, 9), epoch_agrees=False)
        with pytest.raises(StrangeLog, match="the record at offset 9, the last one, is gone"):
            log.fresh(polled) if polled else log.require_recognised(15)


def test_a_position_that_has_not_passed_the_offset_says_nothing() -> None:
    log = owned(stored(10, 9), epoch_agrees=False)
    log.require_recognised(10)
    assert not log.recognised


def test_the_record_before_an_unknown_offset_is_learnt_once() -> None:
    log = owned(LogMark(10))
    assert log.begins_at == 9
    assert log.fresh(LOG[9:12]) == LOG[10:12]
    assert log.take_baseline() == stored(10, 9)
    assert log.take_baseline() is None


@pytest.mark.parametrize(("mark", "readable"), [(LogMark(0), True), (stored(10, 9), False)], ids=["start", "expired"])
def test_reading_starts_at_the_offset_without_a_record_to_reread(mark: LogMark, readable: bool) -> None:
    log = owned(mark, readable=readable)
    assert (log.begins_at, log.recognised) == (mark.next_offset, True)
    assert log.fresh(LOG[mark.next_offset : 20]) == LOG[mark.next_offset : 20]
