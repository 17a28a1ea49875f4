"""Records that are polled and decoded while PostgreSQL works on the step before."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest

from sesacctl.broker import clients
from sesacctl.events import ORDERS, PRODUCTS, USERS
from sesacctl.pipeline.audit.report import audit
from sesacctl.pipeline.consume import ahead as ahead_module
from sesacctl.pipeline.consume.ahead import Ahead
from sesacctl.pipeline.consume.reader import Polled, Reader
from sesacctl.settings import Settings
from tests.helpers.consumers import Running, running, store_all, stored
from tests.helpers.events import Message, add_parents, many_orders, query, send
from tests.helpers.topics import make_topics
from tests.helpers.waiting import wait_until

STEP = 50
MESSAGES = 1_000
BAD: Message = (b"u1", b"{")


@pytest.fixture
def shop(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Small steps that are large enough for the thread; users u1 … u100, product p1, and a thousand orders."""
    monkeypatch.setattr(clients, "MAX_POLL_RECORDS", STEP)
    monkeypatch.setattr(ahead_module, "WORTH_A_THREAD", 1)
    make_topics(settings)
    add_parents(settings, users=100)
    send(settings, ORDERS, many_orders(MESSAGES))
    return settings


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Polled]]:
    """Polls with records that were made ahead and taken."""
    found: list[Polled] = []
    take = Ahead.take

    def noting(self: Ahead) -> Polled | None:
        polled = take(self)
        if polled is not None and polled.records:
            found.append(polled)
        return polled

    monkeypatch.setattr(Ahead, "take", noting)
    yield found
    assert found, "nothing was read ahead"


def at(label: str, number: int, act: Callable[[], None]) -> Callable[[str], None]:
    """A checkpoint that acts when it comes by a label for the `number`th time."""
    seen: list[str] = []

    def checkpoint(found: str) -> None:
        if found == label:
            seen.append(found)
            if len(seen) == number:
                act()

    return checkpoint


def require_stored(settings: Settings) -> None:
    result = audit(settings, deep=True)
    assert result.ok, result
    assert (result.lag, result.rows["orders"]) == (0, MESSAGES)
    assert query(settings, "SELECT count(*) FROM orders") == [(MESSAGES,)]


@pytest.mark.usefixtures("taken")
def test_what_was_read_ahead_is_stored_once(shop: Settings) -> None:
    store_all(shop)
    require_stored(shop)


@pytest.mark.usefixtures("taken")
@pytest.mark.parametrize("label", ["after copy of orders", "before commit", "after commit"])
def test_a_step_that_fails_takes_what_was_read_ahead_along(shop: Settings, label: str) -> None:
    def fail() -> None:
        raise psycopg2.OperationalError("planted")

    with running(shop, checkpoint=at(label, 3, fail)):
        wait_until(lambda: stored(shop) == MESSAGES)
    require_stored(shop)


@pytest.mark.usefixtures("taken")
def test_an_offset_moved_meanwhile_is_where_reading_continues(shop: Settings) -> None:
    moved: list[bool] = []

    def move() -> None:
        query(
            shop, "UPDATE sink_offsets SET next_offset = 0, epoch_offset = 0, stored = 0 WHERE topic LIKE %s", "%orders"
        )
        query(shop, "DELETE FROM orders")
        moved.append(True)

    with running(shop, checkpoint=at("before offset commit", 1, move)):  # right after the first step
        wait_until(lambda: moved and stored(shop) == MESSAGES)
    require_stored(shop)


@pytest.mark.usefixtures("taken")
def test_another_member_gets_its_partitions_meanwhile(shop: Settings) -> None:
    seen: list[Running] = []

    def wait_for_the_other() -> None:
        wait_until(lambda: len(seen) == 1 and seen[0].instance._member.joined)

    with running(shop, ORDERS, checkpoint=at("before commit", 2, wait_for_the_other)) as first:
        with running(shop, ORDERS) as second:
            seen.append(second)
            wait_until(lambda: stored(shop) == MESSAGES)
            wait_until(lambda: 0 < len(second.consumer.assignment()) < 9)
        assert not first.errors
    require_stored(shop)


@pytest.mark.usefixtures("taken")
def test_bad_records_read_ahead_are_dead_letters_once(shop: Settings) -> None:
    send(shop, ORDERS, [BAD] * 3 + many_orders(1) + [BAD] * 2)
    with running(shop, USERS, PRODUCTS, ORDERS):
        wait_until(lambda: query(shop, "SELECT coalesce(sum(dead), 0)::int FROM sink_offsets") == [(5,)])
    assert query(shop, 'SELECT count(*), count(DISTINCT (partition, "offset")) FROM dead_letters') == [(5, 5)]


def test_an_error_of_the_poll_ahead_ends_the_instance(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    poll = Reader.poll

    def fails(self: Reader, *, timeout_ms: int) -> Polled:
        if timeout_ms == 0:
            raise RuntimeError("planted")
        return poll(self, timeout_ms=timeout_ms)

    with monkeypatch.context() as patch:
        patch.setattr(Reader, "poll", fails)
        found: dict[str, Any] = {}
        with pytest.raises(AssertionError, match="planted"), running(shop, ORDERS) as found["instance"]:
            wait_until(lambda: found["instance"].errors)
    assert 0 < stored(shop) < MESSAGES
    store_all(shop)
    require_stored(shop)
