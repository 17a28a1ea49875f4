"""One look a second, however many listen."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing
from typing import Any

import msgspec
import pytest

from sesacctl.dashboard.hub import Hub, in_thread
from sesacctl.dashboard.look import Looker
from sesacctl.pipeline.watch.observation import Observation
from sesacctl.settings import load
from tests.helpers.looks import Counted, looker
from tests.helpers.observations import GOOD, without

SOON = 0.01


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 60))


async def look_of(stream: AsyncIterator[bytes]) -> dict[str, Any]:
    """The next look of a stream; comments are left out."""
    async for message in stream:
        fields = dict(line.split(": ", 1) for line in message.decode().splitlines() if ": " in line)
        if fields.get("event") == "look":
            found: dict[str, Any] = msgspec.json.decode(fields["data"])
            assert fields["id"] == str(found["id"])
            return found
    raise AssertionError("the stream has ended")


def counting() -> tuple[Looker, Counted]:
    observe = Counted()
    return Looker(load(kafka_group="shop"), observe=observe, aging=lambda _: None), observe


def test_ten_listeners_share_each_look() -> None:
    made, observe = counting()

    async def work() -> None:
        hub = Hub(made, every=SOON)
        streams = [hub.stream(None) for _ in range(10)]
        seen = [[(await look_of(each))["id"] for each in streams] for _ in range(3)]
        assert max(map(max, seen)) - min(map(min, seen)) + 1 >= 3
        hub.close()
        assert observe.asked == hub.looks

    run(work)
    assert observe.asked < 30


def test_nobody_who_looks_means_no_look() -> None:
    made, observe = counting()

    async def work() -> None:
        hub = Hub(made, every=SOON)
        assert hub.rests
        async with aclosing(hub.stream(None)) as stream:
            await look_of(stream)
        while not hub.rests:
            await asyncio.sleep(0)
        asked = observe.asked
        async with aclosing(hub.stream(None)) as stream:
            await look_of(stream)
        assert observe.asked <= asked + 1  # the one that is still young is shown
        hub.close()

    run(work)


def test_a_listener_gets_each_event_once() -> None:
    def seen(number: int) -> Observation:
        return without("Redis") if number % 2 else GOOD

    async def work() -> None:
        hub = Hub(looker(seen), every=SOON)
        async with aclosing(hub.stream(None)) as stream:
            found = []
            for number in range(8):
                look = await look_of(stream)
                found += [event["id"] for event in look["events"]]
                while number % 2 and msgspec.json.decode(await hub.newest())["id"] < look["id"] + 2:
                    await asyncio.sleep(0)  # it reads slowly, and misses a look
        hub.close()
        assert found == sorted(set(found))
        assert found == list(range(found[0], found[0] + len(found)))

    run(work)


def test_one_who_comes_again_gets_what_came_meanwhile() -> None:
    def seen(number: int) -> Observation:
        return without("Redis") if number % 2 else GOOD

    async def work() -> None:
        hub = Hub(looker(seen), every=SOON)
        async with aclosing(hub.stream(None)) as stream:
            first = await look_of(stream)
            last = [await look_of(stream) for _ in range(5)][-1]
        async with aclosing(hub.stream(first["id"])) as again:
            missed = (await look_of(again))["events"]
        async with aclosing(hub.stream(None)) as fresh:
            everything = (await look_of(fresh))["events"]
        hub.close()
        assert len(missed) >= last["id"] - first["id"]
        assert [event["id"] for event in missed] == [event["id"] for event in everything][-len(missed) :]

    run(work)


def test_a_look_that_hangs_does_not_hold_up_the_server() -> None:
    gate, hanging = threading.Event(), threading.Event()

    def seen(number: int) -> Observation:
        if number == 3:
            hanging.set()
            gate.wait(30)
        return GOOD

    async def work() -> None:
        hub = Hub(looker(seen), every=SOON)
        async with aclosing(hub.stream(None)) as stream:
            await look_of(stream)
            await look_of(stream)
            await in_thread(lambda: hanging.wait(30), "waiting")
            shown = msgspec.json.decode(await asyncio.wait_for(hub.newest(), 10))
            assert shown["top"]["database"]
            gate.set()
            await look_of(stream)
        hub.close()

    run(work)


def test_a_bug_in_one_look_does_not_end_the_next(caplog: pytest.LogCaptureFixture) -> None:
    def seen(number: int) -> Observation:
        if number == 2:
            raise ZeroDivisionError
        return GOOD

    async def work() -> None:
        hub = Hub(looker(seen), every=SOON)
        async with aclosing(hub.stream(None)) as stream:
            first = await look_of(stream)
            assert (await look_of(stream))["id"] == first["id"] + 1
        hub.close()

    run(work)
    assert "a look failed" in caplog.text


def test_closing_ends_every_stream_at_once() -> None:
    async def work() -> None:
        hub = Hub(looker(), every=60)
        stream = hub.stream(None)
        await look_of(stream)
        ending = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        hub.close()
        with pytest.raises(StopAsyncIteration):
            await asyncio.wait_for(ending, 10)

    run(work)


def test_work_in_a_thread_returns_and_raises() -> None:
    async def work() -> None:
        assert await in_thread(lambda: 7, "seven") == 7
        with pytest.raises(ZeroDivisionError):
            await in_thread(lambda: 1 // 0, "bug")

    run(work)
