"""A server that hangs holds up one look, and no other one."""

from __future__ import annotations

import threading
import time

import pytest

from sesacctl.errors import ServerUnreachable
from sesacctl.pipeline.watch import observation, observer
from sesacctl.pipeline.watch.observer import _Part
from tests.helpers.waiting import wait_until


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(observation, "LIMIT_SECONDS", 2.0)
    monkeypatch.setattr(observer, "AGAIN_SECONDS", 0.1)


def ask(part: _Part[int]) -> int | None:
    """One look."""
    part.begin()
    return part.result(time.monotonic())


@pytest.mark.usefixtures("impatient")
def test_a_question_that_hangs_is_not_asked_twice() -> None:
    gate, asked = threading.Event(), []

    def question() -> int:
        asked.append(1)
        gate.wait(60)
        return 7

    part = _Part("PostgreSQL", question, frozenset())
    for _ in range(3):
        with pytest.raises(ServerUnreachable, match="PostgreSQL gave no answer"):
            ask(part)
    assert len(asked) == 1
    gate.set()
    wait_until(lambda: not part.runs)
    assert ask(part) == 7
    assert len(asked) == 2


@pytest.mark.usefixtures("impatient")
def test_one_that_hung_before_is_waited_for_less() -> None:
    gate = threading.Event()

    def question() -> int:
        gate.wait(60)
        return 7

    part = _Part("Redis", question, frozenset())
    took = []
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(ServerUnreachable):
            ask(part)
        took.append(time.monotonic() - began)
    gate.set()
    assert took[0] >= 2.0
    assert took[1] < took[0]


def test_an_answer_that_comes_late_is_not_taken_for_a_new_one() -> None:
    answers = iter((1, 2))
    part = _Part("Kafka", lambda: next(answers), frozenset())
    assert ask(part) == 1
    assert ask(part) == 2


def test_an_error_is_that_of_the_question() -> None:
    part: _Part[int] = _Part("Kafka", lambda: 1 // 0, frozenset())
    with pytest.raises(ZeroDivisionError):
        ask(part)
