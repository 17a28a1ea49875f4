"""BackgroundPoll a server that does not answer for long."""

from __future__ import annotations

import threading

import pytest

from sesacctl.errors import ServerRefused, ServerUnreachable, SesacctlError
from sesacctl.pipeline.supervise.background import BackgroundPoll
from tests.helpers.waiting import wait_until


def test_a_poll_never_waits_and_returns_each_answer_once() -> None:
    free = threading.Event()
    asking = BackgroundPoll(lambda: free.wait(20), every=60)
    assert [asking.answer() for _ in range(3)] == [None] * 3
    free.set()
    assert wait_until(asking.answer) is True
    assert asking.answer() is None


def test_an_unreachable_server_is_retried_and_a_refusal_raised() -> None:
    errors: list[SesacctlError] = [ServerUnreachable(), ServerUnreachable()]

    def question() -> bool:
        if errors:
            raise errors.pop()
        return True

    asking = BackgroundPoll(question, every=0)
    assert wait_until(asking.answer)
    errors.append(ServerRefused("no"))
    with pytest.raises(ServerRefused):
        wait_until(lambda: asking.answer() and False)
