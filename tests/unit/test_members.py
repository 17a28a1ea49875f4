"""When the supervisor starts an instance again, and when it has died too often."""

from __future__ import annotations

import time

import pytest

from sesacctl.pipeline.batch import Counts
from sesacctl.pipeline.members import HEALTHY_SECONDS, Member
from sesacctl.pipeline.status import Status


def pause(member: Member, *, lived: float) -> float:
    """Let it die after `lived` seconds; the seconds until it is started again."""
    member.started = time.monotonic() - lived
    member.died()
    return max(0.0, member.start_at - time.monotonic())


def test_the_first_restart_is_at_once_and_the_next_ones_wait_longer_and_longer() -> None:
    member = Member(0)
    pauses = [pause(member, lived=11.0) for _ in range(8)]
    assert pauses == pytest.approx([0, 1, 2, 4, 8, 10, 10, 10], abs=0.5)
    assert member.failures == 8, "living for some seconds each time does not help"


def test_progress_or_a_long_life_begin_the_count_anew() -> None:
    member = Member(0)
    for _ in range(5):
        pause(member, lived=1.0)
    member.hear(Status(0))
    assert member.failures == 5, "a report without progress"
    member.hear(Status(0, counts=Counts(stored=1)))
    assert pause(member, lived=1.0) == 0
    pause(member, lived=1.0)
    assert pause(member, lived=HEALTHY_SECONDS + 1) == 0
