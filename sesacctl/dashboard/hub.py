"""One look a second for all browsers, made in a thread of its own; none while nobody looks."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

import msgspec

from sesacctl.dashboard.look import Look, Looker

logger = logging.getLogger(__name__)

EVERY_SECONDS = 1.0
FRESH_SECONDS = 5.0
"""A look this young is shown at once to one who has just come."""
LINGER_SECONDS = 3.0
"""One who asked for a single look is taken for a listener for so long."""
PING_SECONDS = 15.0
T = TypeVar("T")


class Frame:
    """A look as the bytes that are sent, made once for all browsers."""

    def __init__(self, look: Look, at: float) -> None:
        self.look, self.at = look, at
        self.json = msgspec.json.encode(look, enc_hook=str)
        self.event = _event(look.id, self.json)


class Hub:
    """Shares looks; all its methods are for the server's event loop."""

    def __init__(
        self, looker: Looker, *, every: float = EVERY_SECONDS, on_look: Callable[[Look], None] = lambda _: None
    ) -> None:
        """`on_look` is told of each."""
        self._looker, self._every, self._on_look = looker, every, on_look
        self._newest: Frame | None = None
        self._changed = asyncio.Event()
        self._wanted = asyncio.Event()
        self._listeners = 0
        self._asked = float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self.looks = 0

    @property
    def rests(self) -> bool:
        """Whether no look is made, nor will be until somebody comes."""
        return not self._wanted.is_set()

    def close(self) -> None:
        """End all streams, and look no more."""
        self._closed = True
        self._changed.set()
        if self._task is not None:
            self._task.cancel()

    async def newest(self, *, all_events: bool = False) -> bytes:
        """The newest look as JSON; waits for one if there is none that is young. `all_events`: with all that are kept.

        Raises:
            TimeoutError: there is none in time.
        """
        self._asked = time.monotonic()
        self._begin()
        frame = self._fresh(2 * self._every)
        if frame is None:
            try:
                frame = await asyncio.wait_for(self._next(None), FRESH_SECONDS)
            except TimeoutError:
                if self._newest is None:
                    raise
                frame = self._newest
        return self._with_events(frame, None) if all_events else frame.json

    async def stream(self, after: int | None) -> AsyncGenerator[bytes, None]:
        """Every look from now on, as server-sent events; one who reads slowly misses looks, and no event.

        The first has the loop's events since the look with the id `after`, or all that are kept.
        """
        with self._listening():
            yield b"retry: 1000\r\n\r\n"
            frame = self._fresh(FRESH_SECONDS)
            seen: Frame | None = None
            while not self._closed:
                if frame is not None:
                    yield self._for(frame, seen, after)
                    seen = frame
                try:
                    frame = await asyncio.wait_for(self._next(seen), PING_SECONDS)
                except TimeoutError:
                    frame = None
                    yield b": nothing new\r\n\r\n"
                except asyncio.CancelledError:
                    if self._closed:
                        return
                    raise

    @contextmanager
    def _listening(self) -> Iterator[None]:
        self._listeners += 1
        self._begin()
        try:
            yield
        finally:
            self._listeners -= 1

    def _for(self, frame: Frame, seen: Frame | None, after: int | None) -> bytes:
        """The shared bytes where the browser has seen the look before, else a look with the events it has missed."""
        if seen is not None and frame.look.id == seen.look.id + 1:
            return frame.event
        since = after if seen is None else seen.look.id
        return _event(frame.look.id, self._with_events(frame, since))

    def _with_events(self, frame: Frame, since: int | None) -> bytes:
        # The thread may have seen more by now: that is for the next message.
        events = self._looker.events.after(since, until=frame.look.id)
        return msgspec.json.encode(replace(frame.look, events=events), enc_hook=str)

    def _fresh(self, seconds: float) -> Frame | None:
        frame = self._newest
        return frame if frame is not None and time.monotonic() - frame.at < seconds else None

    async def _next(self, seen: Frame | None) -> Frame:
        """The next look that is made."""
        before = self._newest if seen is None else seen
        while self._newest is None or self._newest is before:
            if self._closed:
                raise asyncio.CancelledError
            await self._changed.wait()
        return self._newest

    def _begin(self) -> None:
        self._wanted.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._turn())

    def _is_wanted(self) -> bool:
        return self._listeners > 0 or time.monotonic() - self._asked < LINGER_SECONDS

    async def _turn(self) -> None:
        problem = ""
        while True:
            if not self._is_wanted():
                self._wanted.clear()
                await self._wanted.wait()
            began = time.monotonic()
            try:
                self.looks += 1
                look = await in_thread(self._looker.run_once, "look")
                self._on_look(look)
                self._show(Frame(look, time.monotonic()))
                problem = ""
            except Exception as error:
                if repr(error) != problem:
                    problem = repr(error)
                    logger.exception("a look failed", extra={"action": "dashboard.look"})
            await asyncio.sleep(max(0.0, began + self._every - time.monotonic()))

    def _show(self, frame: Frame) -> None:
        self._newest = frame
        self._changed.set()
        self._changed = asyncio.Event()


def _event(number: int, data: bytes) -> bytes:
    return b"id: %d\r\nevent: look\r\ndata: %s\r\n\r\n" % (number, data)


async def in_thread(work: Callable[[], T], name: str) -> T:
    """What `work` returns or raises, from a thread that does not hold up the end of the process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(answer: Callable[[], None]) -> None:
        if not done.done():
            answer()

    def run() -> None:
        try:
            result = work()
        except Exception as raised:
            answer = partial(done.set_exception, raised)
        else:
            answer = partial(done.set_result, result)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell, answer)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done
