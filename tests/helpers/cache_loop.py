"""A refresh loop and a reader that polls, in threads, for tests that hurt the servers meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sesacctl.cache.client import CacheReader, connect
from sesacctl.errors import CacheEmpty, ServerUnreachable
from sesacctl.pipeline.refresh.figures import RefreshResult
from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.settings import Settings
from tests.helpers.waiting import wait_until


class Loop:
    """What the loop has done so far; `error` is what ended it."""

    def __init__(self) -> None:
        self.rounds: list[RefreshResult] = []
        self.error: BaseException | None = None

    def next_rounds(self, count: int = 2, timeout: float = 20.0) -> None:
        """Wait for `count` more rounds than there are now."""
        target = len(self.rounds) + count
        wait_until(lambda: len(self.rounds) >= target or self.error, timeout, f"no {count} rounds")
        assert self.error is None


@contextmanager
def looping(settings: Settings, *, period: float = 0.1, size: int = 1000) -> Iterator[Loop]:
    """The loop runs, and has worked once."""
    loop, stop = Loop(), threading.Event()

    def work() -> None:
        try:
            with Refresher(settings, size=size, fresh=size // 2) as refresher:
                refresher.run(stop, period, on_round=loop.rounds.append)
        except BaseException as error:
            loop.error = error

    thread = threading.Thread(target=work)
    thread.start()
    try:
        loop.next_rounds(1)
        yield loop
    finally:
        stop.set()
        thread.join()


class Seen:
    """What the reader saw: how often a full cache, how often that Redis was away, and everything else."""

    def __init__(self) -> None:
        self.full = 0
        self.away = 0
        self.wrong: list[str] = []

    def more(self) -> None:
        """Wait until it has seen the cache full once more."""
        full = self.full
        wait_until(lambda: self.full > full, message="the reader saw no full cache any more")


@contextmanager
def polling(settings: Settings, *, rows: int = 1000) -> Iterator[Seen]:
    """A reader that looks at each generation at once, has seen one, and expects `rows` rows whenever Redis answers."""
    seen, stop = Seen(), threading.Event()
    reader = CacheReader(connect(settings), look_every=0.002)

    def poll() -> None:
        while not stop.wait(0.001):
            try:
                found = len(reader.users()), len(reader.products())
            except ServerUnreachable:
                seen.away += 1
            except CacheEmpty as error:
                seen.wrong.append(str(error))
            else:
                seen.full += 1
                if found != (rows, rows):
                    seen.wrong.append(f"{found} rows")

    thread = threading.Thread(target=poll)
    thread.start()
    try:
        wait_until(lambda: seen.full, message="the reader saw no full cache")
        yield seen
    finally:
        stop.set()
        thread.join()
