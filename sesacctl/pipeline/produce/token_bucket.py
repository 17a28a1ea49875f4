"""A token bucket: how many orders are due now."""

from __future__ import annotations

from math import ceil


class Bucket:
    """Fills at `rate` tokens a second from empty, and holds one second's worth.

    Tokens above that are dropped: after a standstill the rate resumes, and nothing is caught up. It may go into debt,
    so that a cart is not cut.
    """

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._gone = 0

    def due(self, elapsed: float) -> int:
        """Tokens to spend, `elapsed` seconds after the start; below 1 while there are none."""
        due = int(elapsed * self._rate + 1e-6) - self._gone
        overflow = max(0, due - max(1, ceil(self._rate)))
        self._gone += overflow
        return due - overflow

    def spend(self, tokens: int) -> None:
        """Take tokens out."""
        self._gone += tokens

    def seconds_to_next(self, elapsed: float) -> float:
        """Until there is one to spend; 0 if there is."""
        return max(0.0, (self._gone + 1) / self._rate - elapsed) if self._rate else float("inf")
