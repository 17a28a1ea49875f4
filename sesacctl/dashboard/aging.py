"""How long rows have waited to be cached, read again when the cache has another generation, beside the looks."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from sesacctl.errors import SesacctlError
from sesacctl.pipeline.refresh.aging import Aging, read_aging
from sesacctl.pipeline.watch.observation import Observation
from sesacctl.settings import Settings

logger = logging.getLogger(__name__)

LEAST_SECONDS = 5.0
"""Between two readings, however often the cache is refreshed."""


class AgingWatch:
    """The newest reading; it never waits for one."""

    def __init__(self, settings: Settings, *, read: Callable[[Settings], Aging] = read_aging) -> None:
        self._settings, self._read = settings, read
        self._newest: Aging | None = None
        self._generation: int | None = None
        self._began = float("-inf")
        self._thread: threading.Thread | None = None

    def __call__(self, seen: Observation) -> Aging | None:
        """What is known at this observation; None until the first reading, or while there is no cache."""
        if seen.redis is None or seen.redis.cache.generation is None:
            return self._newest
        generation, now = seen.redis.cache.generation, time.monotonic()
        is_running = self._thread is not None and self._thread.is_alive()
        if generation != self._generation and not is_running and now - self._began >= LEAST_SECONDS:
            self._began = now
            self._thread = threading.Thread(target=self._read_it, args=(generation,), name="aging", daemon=True)
            self._thread.start()
        return self._newest

    def _read_it(self, generation: int) -> None:
        try:
            self._newest, self._generation = self._read(self._settings), generation
        except SesacctlError as error:
            logger.debug("the waits of rows are not known: %s", error, extra={"action": "dashboard.aging"})
        except Exception:
            self._generation = generation  # a bug is said once for each
            logger.exception("the waits of rows are not known", extra={"action": "dashboard.aging"})
