"""How long a batch of events waits for more of them: not at all while there are few."""

from __future__ import annotations

import time
from collections.abc import Callable

from sesacctl.broker.clients import LINGER_MS

FEW_PER_SECOND = 200
"""Below, waiting gathers next to nothing. Each batch costs brokers, consumers and PostgreSQL about 4 ms of processor
time together: with twice as many, two cores were so busy with batches of one event that waiting was faster.
"""
_WINDOW_SECONDS = 0.1


class Linger:
    """Nothing, or `LINGER_MS` from `FEW_PER_SECOND` on."""

    def __init__(self, apply: Callable[[int], None], clock: Callable[[], float] = time.monotonic) -> None:
        """`apply` is called with milliseconds, at first and whenever they change."""
        self._apply, self._clock = apply, clock
        self._milliseconds = 0
        self._sent, self._at = 0, clock()
        apply(0)

    def note(self, sent: int) -> None:
        """Look at how many events have been sent so far in all."""
        now = self._clock()
        if (passed := now - self._at) < _WINDOW_SECONDS:
            return
        milliseconds = LINGER_MS if sent - self._sent > FEW_PER_SECOND * passed else 0
        if milliseconds != self._milliseconds:
            self._milliseconds = milliseconds
            self._apply(milliseconds)
        self._sent, self._at = sent, now
