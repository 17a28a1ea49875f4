"""How a maximum is shared out among instances that may die with what they were granted."""

from __future__ import annotations

from sesacctl.pipeline.supervise.budget import Allowance
from tests.helpers.waiting import wait_until


def test_an_allowance_ends_when_all_grants_are_used() -> None:
    allowance = Allowance(100, lambda: 0)
    assert (allowance.take(0, 80), allowance.take(1, 80), allowance.take(2, 80)) == (80, 20, 0)
    allowance.confirmed(0)
    assert not allowance.exhausted()
    allowance.confirmed(1)
    assert allowance.exhausted()


def test_a_grant_that_was_lost_is_settled_by_what_postgresql_has() -> None:
    stored = 1_000
    allowance = Allowance(100, lambda: stored)
    assert (allowance.take(0, 30), allowance.take(1, 20)) == (30, 20)
    allowance.in_doubt(0)
    assert allowance.take(2, 10) == 0, "not before it is known"
    assert not allowance.exhausted()
    stored += 20
    allowance.confirmed(1)
    assert wait_until(lambda: not allowance.exhausted() and allowance.take(2, 100)) == 80
    stored += 80
    allowance.in_doubt(2)
    wait_until(allowance.exhausted)


def test_a_member_that_dies_between_two_steps_has_lost_nothing() -> None:
    allowance = Allowance(10, lambda: 0)
    assert allowance.take(0, 10) == 10
    allowance.confirmed(0)
    allowance.in_doubt(0)
    assert allowance.exhausted()
