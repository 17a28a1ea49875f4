"""When the supervisor starts an instance again, and when it has died too often."""

from __future__ import annotations

import multiprocessing
import time

import pytest

from sesacctl.pipeline.consume.status import Status
from sesacctl.pipeline.sink.counts import Counts
from sesacctl.pipeline.supervise.member import HEALTHY_SECONDS, TAKEN_SECONDS, Figures, Member
from sesacctl.pipeline.supervise.messages import Crash


def pause(member: Member, *, lived: float) -> float:
    """Let it die after `lived` seconds; the seconds until it is started again."""
    member.started = time.monotonic() - lived
    member.record_exit()
    return max(0.0, member.start_at - time.monotonic())


def test_the_first_restart_is_immediate_and_later_ones_back_off() -> None:
    member = Member(0)
    pauses = [pause(member, lived=11.0) for _ in range(8)]
    assert pauses == pytest.approx([0, 1, 2, 4, 8, 10, 10, 10], abs=0.5)
    assert member.failures == 8, "living for some seconds each time does not help"


def test_progress_or_a_long_life_resets_the_failures() -> None:
    member = Member(0)
    for _ in range(5):
        pause(member, lived=1.0)
    member.receive(Status(0))
    assert member.failures == 5, "a report without progress"
    member.receive(Status(0, counts=Counts(stored=1)))
    assert pause(member, lived=1.0) == 0
    pause(member, lived=1.0)
    assert pause(member, lived=HEALTHY_SECONDS + 1) == 0


def test_the_same_fault_is_counted_until_something_is_stored() -> None:
    member, fault = Member(0), Crash("KeyError", "1", "sink.py:1", passes=False, traceback="")
    member.started = time.monotonic()
    for times in (1, 2):
        member.record_crash(fault)
        assert member.crashes == times
    member.record_crash(Crash("KeyError", "1", "sink.py:2", passes=False, traceback=""))
    assert member.crashes == 1, "another place"
    member.record_crash(Crash("NotCoordinatorError", "", "base.py:1", passes=True, traceback=""))
    assert member.crashes == 0, "Kafka says that trying again may help"
    member.record_crash(fault)
    assert (member.crashes, member.line(1.0).error) == (1, "KeyError: 1 (sink.py:1)")
    member.receive(Status(0, counts=Counts(stored=1)))
    member.record_crash(fault)
    assert member.crashes == 1
    member.started -= HEALTHY_SECONDS + 1
    member.record_crash(fault)
    assert member.crashes == 1, "it lived for long"


def test_an_error_is_shown_until_its_successor_stores() -> None:
    ours, theirs = multiprocessing.Pipe()
    member = Member(0)
    member.record_start(None, ours)
    member.record_last_words("it broke")
    member.record_start(None, ours)
    assert (member.last_words, member.line(1.0).error) == (None, "it broke")
    member.receive(Status(0))
    assert member.line(1.0).error == "it broke"
    member.receive(Status(0, counts=Counts(stored=1)))
    assert member.line(1.0).error is None
    theirs.close()


def test_a_member_with_unread_messages_is_not_silent() -> None:
    ours, theirs = multiprocessing.Pipe()
    member = Member(0)
    member.record_start(None, ours)
    assert not member.is_silent(60)
    member.heard -= 61
    assert member.is_silent(60)
    theirs.send(Status(0))
    assert not member.is_silent(60), "we stood still ourselves"


def test_a_member_whose_id_was_taken_pauses_before_rejoining() -> None:
    member = Member(1, taken=True)
    assert pause(member, lived=1.0) == pytest.approx(TAKEN_SECONDS, abs=0.5)


def test_asking_for_the_figures_changes_no_rate() -> None:
    member = Member(0)
    figures = Figures([member])
    member.receive(Status(0, counts=Counts(stored=1_000)))
    first, second = figures.report(), figures.report()
    assert first.rate >= second.rate > 0
    assert first.instances[0].rate >= second.instances[0].rate > 0
    figures.begin_interval()
    report = figures.report()
    assert (report.events, report.rate, report.instances[0].rate) == (1_000, 0, 0)


def test_a_member_is_ready_with_its_place_and_its_servers() -> None:
    member = Member(0)
    assert member.problem() == "stopped"
    ours, theirs = multiprocessing.Pipe()
    with ours, theirs:
        member.record_start(None, ours)
        assert member.problem() == "starting"
        member.receive(Status(0, state="running"))
        assert member.problem() == "no partitions are assigned yet"
        member.receive(Status(0, state="running", joined=True))
        assert member.problem() is None, "one without partitions has nothing to wait for"
        member.receive(Status(0, state="waiting", joined=True, error="PostgreSQL at a:1 cannot be reached"))
        assert member.problem() == "PostgreSQL at a:1 cannot be reached"
        member.receive(Status(0, state="running", joined=True))
        member.heard -= 60
        assert str(member.problem()).startswith("it has said nothing for 60 s")
