"""What is read after a click: few at once, within a deadline, and errors that say nothing personal."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sesacctl.dashboard import clicks
from sesacctl.dashboard.clicks import Busy, Clicks, TooSlow
from sesacctl.errors import DeadLetterMissing, ServerRefused, ServerUnreachable, SesacctlError, UsageError
from sesacctl.settings import load


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 60))


def test_a_third_question_is_refused_until_one_has_ended() -> None:
    gate = threading.Event()

    def question(_until: float) -> dict[str, Any]:
        gate.wait(30)
        return {"n": 1}

    async def work() -> None:
        asked = Clicks(load(), seconds=30)
        waiting = [asyncio.ensure_future(asked.answer(question)) for _ in range(clicks.AT_ONCE)]
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await asked.answer(question)
        gate.set()
        assert await asyncio.gather(*waiting) == [{"n": 1}] * clicks.AT_ONCE
        assert await asked.answer(lambda _until: {"n": 2}) == {"n": 2}

    run(work)


def test_one_that_is_too_slow_keeps_its_place_until_it_ends() -> None:
    gate, ended = threading.Event(), threading.Event()

    def question(_until: float) -> dict[str, Any]:
        gate.wait(30)
        ended.set()
        return {}

    async def work() -> None:
        asked = Clicks(load(), at_once=1, seconds=0.05)
        with pytest.raises(TooSlow):
            await asked.answer(question)
        with pytest.raises(Busy):
            await asked.answer(lambda _until: {})
        gate.set()
        while True:
            try:
                assert await asked.answer(lambda _until: {"n": 3}) == {"n": 3}
                break
            except Busy:
                await asyncio.sleep(0)
        assert ended.is_set()

    run(work)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UsageError("no"), 400), (DeadLetterMissing("no"), 404), (ServerUnreachable("no"), 503),
        (ServerRefused("no"), 503), (Busy(), 429), (TooSlow(), 504), (TimeoutError(), 504), (KeyError("u_77"), 500),
    ],
)  # fmt: skip
def test_each_error_has_its_status_and_what_to_run(error: Exception, status: int) -> None:
    found, body = clicks.problem(error)
    assert found == status
    assert sorted(body) == ["error", "next"]
    if isinstance(error, SesacctlError):
        assert body["next"] == error.hint


def test_a_bug_says_nothing_of_what_was_asked(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        _, body = clicks.problem(KeyError("user 홍길동"))
    assert "홍길동" not in str(body) + caplog.text


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "", "1e3", "٣", "9" * 30])
def test_a_limit_out_of_bounds_is_refused(limit: str) -> None:
    with pytest.raises(UsageError):
        Clicks(load()).letters({"limit": limit})
    with pytest.raises(UsageError):
        Clicks(load()).parked({"limit": limit})


@pytest.mark.parametrize("letter_id", ["0", "-1", "x", "9" * 30, "1;DROP", "²"])
def test_an_id_that_cannot_be_one_is_missing(letter_id: str) -> None:
    with pytest.raises(DeadLetterMissing):
        Clicks(load()).letter(letter_id)


@pytest.mark.parametrize(
    "query",
    [{}, {"order_id": "1", "at": "orders-0@1"}, {"at": "orders"}, {"at": "orders-0@-1"}, {"order_id": "x" * 201},
     {"at": "a b-0@1"}, {"order_id": ""}],
)  # fmt: skip
def test_a_trace_needs_an_id_or_a_position(query: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        Clicks(load()).trace(query)


@pytest.mark.parametrize("query", [{"reason": "nonsense"}, {"topic": "nonsense"}])
def test_a_filter_that_names_nothing_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        Clicks(load()).letters(query)
