"""A question to a server that may not answer for long, asked in a thread of its own, so that a loop continues."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from sesacctl.errors import SesacctlError

T = TypeVar("T")


class BackgroundPoll(Generic[T]):
    """Asks `question` repeatedly, one at a time, whenever `answer` is called."""

    def __init__(self, question: Callable[[], T], *, every: float = 0.5) -> None:
        """A question is asked at most once in `every` seconds."""
        self._question = question
        self._every = every
        self._asked = float("-inf")
        self._thread: threading.Thread | None = None
        self._answer: T | None = None
        self._error: BaseException | None = None

    def answer(self) -> T | None:
        """The answer, once; None while there is none, or if the server is away: then it is asked again. Never waits.

        Raises:
            SesacctlError: what waiting does not fix. Other exceptions of the question are raised as they are.
        """
        if self._thread is None:
            self._begin()
            return None
        if self._thread.is_alive():
            return None
        self._thread = None
        if self._error is None:
            return self._answer
        if isinstance(self._error, SesacctlError) and self._error.retriable:
            return None
        raise self._error

    def _begin(self) -> None:
        now = time.monotonic()
        if now - self._asked < self._every:
            return
        self._asked, self._answer, self._error = now, None, None
        self._thread = threading.Thread(target=self._ask, name="poll", daemon=True)
        self._thread.start()

    def _ask(self) -> None:
        try:
            self._answer = self._question()
        except Exception as error:
            self._error = error
