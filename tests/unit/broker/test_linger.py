"""Batches wait for more events only where there are many."""

from __future__ import annotations

from sesacctl.broker.clients import LINGER_MS
from sesacctl.broker.linger import FEW_PER_SECOND, Linger


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def milliseconds(*rates: float, seconds: float = 1.0) -> list[int]:
    """What was applied while events came at these rates, one after the other, a hundredth of a second at a time."""
    applied: list[int] = []
    clock, sent = Clock(), 0.0
    linger = Linger(applied.append, clock)
    for rate in rates:
        for _ in range(round(seconds * 100)):
            clock.now += 0.01
            sent += rate / 100
            linger.note(int(sent))
    return applied


def test_few_events_do_not_wait() -> None:
    assert milliseconds(1, 50, FEW_PER_SECOND - 20) == [0]


def test_many_events_wait_and_few_again_do_not() -> None:
    assert milliseconds(500, 50_000, 50) == [0, LINGER_MS, 0]


def test_a_burst_after_a_silence_waits_as_well() -> None:
    assert milliseconds(0, 0, 20_000) == [0, LINGER_MS]
