"""The bound on a row's wait to be cached, and rounds simulated in memory.

A round caches `size` rows, `fresh` of them kept for rows never cached before. So it takes at least `size - fresh` of
those cached longest ago, first in, first out. A row that was just cached has at most all N rows before it, and is
cached again within ceil(N / (size - fresh)) rounds; one more for a round under way, and one for rows of one stamp.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """`worst_wait`: rounds between two cachings of a row; `worst_first_wait`: rounds until a newcomer is first cached.

    Rows still waiting at the end count with their wait so far. `backlog`: never cached at the end.
    """

    rows: int
    newcomers: int
    rounds: int
    size: int
    fresh: int
    bound: int | None
    worst_wait: int
    worst_first_wait: int
    backlog: int
    holds: bool


def bound(rows: int, *, size: int, fresh: int) -> int | None:
    """Rounds within which each of `rows` rows is cached again; None if `fresh` leaves nothing for them."""
    return -(-rows // (size - fresh)) + 2 if fresh < size else None


def shares(never_cached: int, cached: int, *, size: int, fresh: int) -> tuple[int, int]:
    """How many never cached rows and how many others a round takes; the refresh statement's arithmetic."""
    never_cached, cached = min(never_cached, size), min(cached, size)
    return min(never_cached, max(fresh, size - cached)), min(cached, max(size - fresh, size - never_cached))


def simulate(*, rows: int, newcomers: int, rounds: int, size: int, fresh: int) -> Simulation:
    """Simulate `rounds` rounds from `rows` never cached rows, with `newcomers` before each round.

    First turns come in the order of arrival, as they do with ids that grow with time.
    """
    waiting, cached = deque[tuple[int, int]](), deque[tuple[int, int]]()
    _join(waiting, 0, rows)
    backlog, turned, worst, worst_first = rows, 0, 0, 0
    for now in range(1, rounds + 1):
        _join(waiting, now, newcomers)
        backlog += newcomers
        first_turns, turns = shares(backlog, turned, size=size, fresh=fresh)
        worst_first = max(worst_first, now - _take(waiting, first_turns, now))
        worst = max(worst, now - _take(cached, turns, now))
        _join(cached, now, first_turns + turns)
        backlog, turned = backlog - first_turns, turned + first_turns
    worst = max(worst, rounds - cached[0][0]) if cached else worst
    worst_first = max(worst_first, rounds - waiting[0][0]) if waiting else worst_first
    limit = bound(rows + newcomers * rounds, size=size, fresh=fresh)
    return Simulation(
        rows=rows,
        newcomers=newcomers,
        rounds=rounds,
        size=size,
        fresh=fresh,
        bound=limit,
        worst_wait=worst,
        worst_first_wait=worst_first,
        backlog=backlog,
        holds=limit is not None and worst <= limit and newcomers <= fresh,
    )


def _join(queue: deque[tuple[int, int]], now: int, count: int) -> None:
    if count:
        queue.append((now, count))


def _take(queue: deque[tuple[int, int]], count: int, now: int) -> int:
    """Take `count` rows from the front of a queue of `(round, rows)`; the round of the first, or `now`."""
    oldest = queue[0][0] if count and queue else now
    while count and queue:
        since, rows = queue.popleft()
        if rows > count:
            queue.appendleft((since, rows - count))
        count -= min(rows, count)
    return oldest
