"""One poll ahead of its step."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC
from typing import Any, cast

import pytest
from kafka import TopicPartition

from sesacctl.broker.kafka_python.consumer_records import Skipped
from sesacctl.events import ORDERS
from sesacctl.pipeline.consume.ahead import WORTH_A_THREAD, Ahead
from sesacctl.pipeline.consume.reader import Membership, Polled, Reader
from tests.helpers.events import many_orders, records

PARTITION = TopicPartition("orders", 0)


def polled(generation: int) -> Polled:
    found = records([*many_orders(2), (b"u1", b"{")])
    return Polled(Membership(generation, frozenset({PARTITION}), {}), Skipped(), {PARTITION: found})


class Polls:
    """Stands for a reader, and says in which thread it was asked."""

    def __init__(self, answer: Polled | Exception) -> None:
        self.answer = answer
        self.threads: list[int] = []

    def poll(self, *, timeout_ms: int) -> Polled:
        assert timeout_ms == 0
        self.threads.append(threading.get_ident())
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def ahead() -> Iterator[Ahead]:
    found = Ahead({"orders": ORDERS}, UTC)
    yield found
    found.close()


def step(ahead: Ahead, reader: Any, size: int = WORTH_A_THREAD) -> None:
    with ahead.reading(cast("Reader", reader), size) as begin:
        begin()


def test_a_poll_is_made_in_another_thread_and_taken_once(ahead: Ahead) -> None:
    polled_before = polled(2)
    reader = Polls(polled_before)
    step(ahead, reader)
    assert reader.threads != [threading.get_ident()]
    assert ahead.take() is polled_before
    assert ahead.take() is None
    assert [record.decoded is not None for record in polled_before.records[PARTITION]] == [True, True, False]


def test_a_small_step_has_no_poll_beside_it(ahead: Ahead) -> None:
    reader = Polls(polled(2))
    step(ahead, reader, WORTH_A_THREAD - 1)
    assert (reader.threads, ahead.take()) == ([], None)


def test_without_a_core_for_it_there_is_no_poll() -> None:
    ahead, reader = Ahead({"orders": ORDERS}, UTC, enabled=False), Polls(polled(2))
    step(ahead, reader)
    assert (reader.threads, ahead.take()) == ([], None)


def test_the_membership_is_that_of_the_last_poll(ahead: Ahead) -> None:
    before = polled(1)
    assert ahead.membership_after(before) == before.membership
    step(ahead, Polls(polled(2)))
    assert ahead.membership_after(before) == polled(2).membership


def test_what_a_poll_raises_is_raised_when_it_is_taken(ahead: Ahead) -> None:
    before = polled(1)
    step(ahead, Polls(ValueError("planted")))
    assert ahead.membership_after(before) == before.membership
    with pytest.raises(ValueError, match="planted"):
        ahead.take()
    assert ahead.take() is None
