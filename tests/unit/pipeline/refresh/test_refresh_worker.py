"""When the loop tries again, and when it is late: with a clock that only its own waits move."""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Iterator
from itertools import repeat

import pytest
from rich.console import Console

from sesacctl.cli import cache_views
from sesacctl.errors import ServerUnreachable
from sesacctl.pipeline.refresh import worker as refresh
from sesacctl.pipeline.refresh.figures import RefreshFigures, RefreshResult, TableRefresh
from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.settings import Settings

PERIOD = 50.0
ROUND_SECONDS = 0.5


class Clock(threading.Event):
    """A stop signal whose waits end at once, and move the clock on."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.waits: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.waits.append(timeout)
        self.now += max(0.0, timeout)
        return self.is_set()


def waits(
    outcomes: Iterator[bool], monkeypatch: pytest.MonkeyPatch, seconds: Iterator[float] | None = None
) -> list[float]:
    """How long the loop waits after each round. Some work, each takes so many `seconds`, and the last one stops it."""
    takes = seconds or repeat(ROUND_SECONDS)
    clock = Clock()
    monkeypatch.setattr(refresh, "monotonic", lambda: clock.now)

    def run_once(_self: Refresher, **_: object) -> RefreshResult:
        works = next(outcomes, None)
        clock.now += next(takes)
        if works is None:
            clock.set()
        elif not works:
            raise ServerUnreachable("away")
        return RefreshResult(skipped=True, generation=None, at=None, seconds=ROUND_SECONDS, tables=())

    monkeypatch.setattr(Refresher, "run_once", run_once)
    with Refresher(Settings()) as refresher:
        refresher.run(clock, PERIOD)
    return clock.waits


def test_rounds_do_not_drift_whatever_their_length(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = [0.5, 30.0, 2.0, 49.0, 0.5]
    found = waits(repeat(True, 4), monkeypatch, iter(lengths))
    assert [wait + length for wait, length in zip(found, lengths, strict=True)] == [PERIOD] * 5


def test_a_round_that_overruns_skips_periods_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = waits(repeat(True, 3), monkeypatch, iter([0.5, 2.5 * PERIOD, 0.5, 0.5]))
    assert found == [PERIOD - 0.5, 0.5 * PERIOD, PERIOD - 0.5, PERIOD - 0.5]
    assert [vars(record)["periods_skipped"] for record in caplog.records if "periods_skipped" in vars(record)] == [2]


def test_retries_back_off_up_to_the_period_in_a_long_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    found = waits(iter([True, *repeat(False, 1100)]), monkeypatch)
    assert found[1:9] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, PERIOD, PERIOD]
    assert set(found[9:-1]) == {PERIOD}


def test_an_outage_is_not_an_overrun(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "sesacctl")
    found = waits(iter([True, *repeat(False, 12), True, True]), monkeypatch)
    assert found[-3:] == [PERIOD - ROUND_SECONDS] * 3
    actions = [vars(record)["action"] for record in caplog.records]
    assert [action for action in actions if action != "refresh.skipped"] == ["refresh.waiting", "refresh.recovered"]


def test_a_loop_is_summed_up_at_its_end() -> None:
    figures = RefreshFigures()
    for generation, fresh in ((1, 500), (2, 30)):
        figures.note(
            RefreshResult(
                skipped=False,
                generation=generation,
                at=None,
                seconds=0.1,
                tables=(TableRefresh(table="users", fresh=fresh, aged=500),),
            )
        )
    figures.note(RefreshResult(skipped=True, generation=None, at=None, seconds=0.1, tables=()))
    console = Console(file=io.StringIO(), width=80)
    console.print(cache_views.loop(figures, 125.0))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue()
    for fact in ("2 min", "2 cached, 1 skipped", "1,530, of them 530 never before", "last generation │ 2"):
        assert fact in shown
