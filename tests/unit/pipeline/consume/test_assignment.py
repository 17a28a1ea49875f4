"""What an instance owns, and how far each partition is stored: no broker is needed for that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from kafka import OffsetAndMetadata, TopicPartition

from sesacctl.broker.kafka_python.consumer_records import Skipped
from sesacctl.errors import OffsetGap
from sesacctl.events import ORDERS, USERS
from sesacctl.pipeline.consume.assignment import Assignment
from sesacctl.pipeline.consume.log_gaps import LogGuard
from sesacctl.pipeline.consume.reader import Membership, Polled, Position
from sesacctl.pipeline.sink.batch import LogMark, mark_of
from sesacctl.pipeline.sink.log_cuts import CutFound
from tests.helpers.events import many_orders, records

FIRST, SECOND = TopicPartition("t-orders", 0), TopicPartition("t-orders", 1)
TOPIC_ID = uuid4()
MEMBERSHIP = Membership(7, frozenset({FIRST, SECOND}), {"t-orders": TOPIC_ID, "t-users": None})
LOG = records(many_orders(30))


@dataclass
class Answers:
    """What the brokers say of logs in doubt, and how often they were asked."""

    starts: int = 0
    ends: int = 30
    same_topic: bool = True
    asked: int = field(default=0)

    def log_starts(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.asked += 1
        return dict.fromkeys(partitions, self.starts)

    def log_ends(self, partitions: Sequence[TopicPartition]) -> Mapping[TopicPartition, int]:
        self.asked += 1
        return dict.fromkeys(partitions, self.ends)

    def is_same_topic(self, _ids: Mapping[str, UUID]) -> bool:
        self.asked += 1
        return self.same_topic


def owning(answers: Answers | None = None, *, accept_gap: bool = False, **marks: LogMark) -> Assignment:
    """Two partitions of orders, stored up to these marks; by default they are new."""
    guard = LogGuard(answers or Answers(), accept_gap=accept_gap)
    found = Assignment({"t-orders": ORDERS, "t-users": USERS}, guard)
    for tp, name in ((FIRST, "first"), (SECOND, "second")):
        found.take(tp, TOPIC_ID, marks.get(name, LogMark(0)), is_new=name not in marks)
    found.confirm(MEMBERSHIP)
    return found


def polled(**values: Any) -> Polled:
    fields: dict[str, Any] = {"membership": MEMBERSHIP, "skipped": Skipped()}
    return Polled(**fields | values)


@pytest.mark.parametrize(
    "now",
    [
        None,
        replace(MEMBERSHIP, generation=8),
        replace(MEMBERSHIP, partitions=frozenset({FIRST})),
        replace(MEMBERSHIP, topic_ids={"t-orders": uuid4(), "t-users": None}),
    ],
    ids=["after an error", "generation", "partitions", "a topic that was created again"],
)
def test_ownership_is_refreshed_when_the_membership_changes(now: Membership | None) -> None:
    found = owning()
    assert not found.changed(replace(MEMBERSHIP))
    assert found.changed(now)


def test_a_mark_stays_until_it_is_confirmed_that_all_is_owned() -> None:
    found = owning()
    found.mark_changed()
    assert found.changed(MEMBERSHIP)
    found.confirm(MEMBERSHIP)
    assert not found.changed(MEMBERSHIP)
    found.drop()
    assert (found.changed(MEMBERSHIP), found.names, found.next_offsets) == (True, [], {})


def test_batches_begin_at_the_next_offset_and_advance_it() -> None:
    found = owning(first=mark_of(10, LOG[9]))
    [one, two] = found.batches(polled(records={FIRST: LOG[9:20], SECOND: LOG[:5]}))
    assert (one.kind, one.key, one.next_offset, one.end, one.records) == (ORDERS, (TOPIC_ID, 0), 10, 20, LOG[10:20])
    assert (two.next_offset, two.end) == (0, 5)
    found.take_uncommitted()
    found.advance([one])
    assert found.next_offsets == {(TOPIC_ID, 0): 20, (TOPIC_ID, 1): 0}
    assert found.take_uncommitted() == {FIRST: 20}
    assert found.take_uncommitted() == {}
    assert found.lag({FIRST: 25, SECOND: 4, TopicPartition("t-users", 0): 9}) == 9
    assert found.lag({FIRST: 19}) == 0
    assert found.batches(polled(records={FIRST: LOG[20:21]}))[0].next_offset == 20


def test_a_new_assignment_is_committed_to_kafka() -> None:
    assert owning(first=LogMark(10), second=LogMark(3)).take_uncommitted() == {FIRST: 10, SECOND: 3}


def test_records_of_unowned_partitions_are_skipped_and_reread() -> None:
    found = owning()
    batches = found.batches(polled(records={TopicPartition("t-users", 2): LOG[:5], FIRST: LOG[:5]}))
    assert [batch.partition for batch in batches] == [0]
    assert found.changed(MEMBERSHIP)


def test_a_hole_is_a_gap_only_right_after_the_read_position() -> None:
    with pytest.raises(OffsetGap, match="offsets 0 to 2"):
        owning().batches(polled(records={FIRST: LOG[3:5]}))
    [accepted] = owning(accept_gap=True).batches(polled(records={FIRST: LOG[3:5]}))
    assert (accepted.holes, accepted.holes_accepted) == (3, True)
    found = owning()
    found.advance(found.batches(polled(records={FIRST: LOG[:5]})))
    batches = found.batches(polled(records={FIRST: LOG[7:9], SECOND: LOG[:5]}))
    assert [batch.partition for batch in batches] == [1], "the position ran ahead: that one is read again"
    assert found.changed(MEMBERSHIP)


def test_a_strange_log_is_a_cut_unless_its_topic_is_new() -> None:
    mark = replace(mark_of(10, LOG[9]), last_crc=1)
    with pytest.raises(CutFound):
        owning(first=mark).batches(polled(records={FIRST: LOG[9:20]}))
    found = owning(Answers(same_topic=False), first=mark)
    assert found.batches(polled(records={FIRST: LOG[9:20]})) == []
    assert found.changed(MEMBERSHIP)


def test_markers_at_the_end_of_a_log_move_the_position_alone() -> None:
    found, skipped = owning(), Skipped()
    skipped.add(FIRST, 0, 2)
    idle = polled(positions={FIRST: Position(2, 4), SECOND: Position(0, -1)}, skipped=skipped)
    [batch] = found.control_batches(idle)
    assert (batch.next_offset, batch.end, batch.control, batch.holes, batch.leader_epoch) == (0, 2, 2, 0, 4)
    assert found.control_batches(replace(idle, records={SECOND: LOG[:1]})) == []
    found.advance([batch])
    assert found.control_batches(idle) == []


def test_expired_records_are_passed_only_if_that_is_accepted() -> None:
    refused = polled(membership=None, refused={FIRST: 5}, positions={FIRST: Position(5, 3)})
    with pytest.raises(OffsetGap, match="offsets 5 to 11"):
        list(owning(Answers(starts=12), first=LogMark(5)).expired(refused))
    [batch] = owning(Answers(starts=12), accept_gap=True, first=LogMark(5)).expired(refused)
    assert (batch.next_offset, batch.end, batch.records, batch.leader_epoch) == (5, 12, [], 3)
    with pytest.raises(CutFound):
        list(owning(Answers(ends=4), first=LogMark(5)).expired(refused))
    assert list(owning(Answers(starts=12, same_topic=False), first=LogMark(5)).expired(refused)) == []


def test_diverged_epochs_decide_once_the_last_record_expired() -> None:
    mark = replace(mark_of(10, LOG[9]), leader_epoch=2)
    found = owning(Answers(starts=10), first=mark)
    assert list(found.expired(polled(membership=None, diverged={FIRST: OffsetAndMetadata(6, "", 1)}))) == []
    assert list(found.expired(polled(membership=None, refused={FIRST: 9}))) == []
    with pytest.raises(CutFound):
        found.take(FIRST, TOPIC_ID, mark, is_new=False)


def test_log_ends_are_asked_for_only_after_a_short_fetch() -> None:
    answers = Answers(ends=8)
    found = owning(answers, first=LogMark(10))
    found.require_whole_logs({FIRST: 10, SECOND: 0})
    assert answers.asked == 0
    with pytest.raises(CutFound):
        found.require_whole_logs({FIRST: 8})
    answers.ends = 10
    found.require_whole_logs({FIRST: 8})


def test_offsets_moved_by_another_process_are_noticed() -> None:
    found = owning(first=LogMark(10))
    assert found.offsets_match({(TOPIC_ID, 0): 10, (TOPIC_ID, 1): 0})
    assert not found.offsets_match({(TOPIC_ID, 0): 9, (TOPIC_ID, 1): 0})
    assert not found.offsets_match({(TOPIC_ID, 0): 10})


def test_a_baseline_is_taken_once_for_an_offset_without_one() -> None:
    found = owning(first=LogMark(10))
    assert found.batches(polled(records={FIRST: LOG[9:10]})) == []
    assert found.take_baselines() == [((TOPIC_ID, 0), mark_of(10, LOG[9]))]
    assert found.take_baselines() == []
