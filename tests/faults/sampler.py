"""A look from outside at PostgreSQL's counters and the cache, several times a second while the storm goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg2
from redis import RedisError

from tests.faults.site import ORDERS, PRODUCTS, USERS, Site

COUNTERS = ("stored", "duplicates", "dead", "parked", "expired", "control")
_EVERY_SECONDS = 0.1
_STATEMENT = (
    f"SELECT topic, topic_id::text, partition, first_offset, next_offset, {', '.join(COUNTERS)},"
    " extract(epoch FROM updated_at)::float8 FROM sink_offsets WHERE consumer_group = %s"
)
_MOST_VIOLATIONS = 20


@dataclass(slots=True)
class Watch:
    """Waits for what is stored after `since`: by the first partition of `orders`, and by all; times are Unix times.

    Seconds count from `began`, which is before: a fault takes a moment to take effect.
    """

    began: float
    since: float
    partitions: int
    moved: dict[int, float] = field(default_factory=dict)

    @property
    def first_seconds(self) -> float | None:
        """From the moment to the first row stored after it."""
        return min(self.moved.values()) - self.began if self.moved else None

    @property
    def all_seconds(self) -> float | None:
        """From the moment until every partition has stored something since."""
        return max(self.moved.values()) - self.began if len(self.moved) == self.partitions else None


class Sampler:
    """`violations` has what must never be seen; `samples` and `cache_looks` say how often it was looked at."""

    def __init__(self, site: Site, partitions: int = 9) -> None:
        self._site, self._partitions = site, partitions
        self.violations: list[str] = []
        self.samples = self.cache_looks = 0
        self.stored = 0
        self._watches: list[Watch] = []
        self._reached: dict[int, int] = {}
        self._connection: Any = None
        self._redis = site.redis()
        self._full = dict.fromkeys((USERS, PRODUCTS), False)
        self._emptied: object | None = object()  # another one each time; None while somebody is about it
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._counters, self._cache)]
        for thread in self._threads:
            thread.start()

    def watch(self, began: float) -> Watch:
        """Wait for what is stored from now on."""
        made = Watch(began, time.time(), self._partitions)
        self._watches.append(made)
        return made

    @contextmanager
    def emptying_the_cache(self) -> Iterator[None]:
        """Somebody empties it now: until it is full again after that, an empty one is no violation."""
        self._emptied = None
        try:
            yield
        finally:
            self._full = dict.fromkeys(self._full, False)
            self._emptied = object()

    @property
    def cache_is_full(self) -> bool:
        """Whether both hashes were seen with rows since somebody emptied them."""
        return all(self._full.values())

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        for thread in self._threads:
            thread.join(10)
        self._redis.close()

    # ---- counters

    def _counters(self) -> None:
        while not self._stop.wait(_EVERY_SECONDS):
            try:
                self._connection = self._connection or self._site.connect()
                with self._connection.cursor() as cursor:
                    cursor.execute("SET statement_timeout = '5s'")
                    cursor.execute(_STATEMENT, (self._site.group,))
                    self._judge(cursor.fetchall())
            except psycopg2.Error:
                if self._connection is not None:
                    with suppress(psycopg2.Error):
                        self._connection.close()
                self._connection = None
        if self._connection is not None:
            self._connection.close()

    def _judge(self, rows: list[tuple[Any, ...]]) -> None:
        now = time.time()
        self.samples += 1
        self.stored = sum(row[5] for row in rows)
        orders = self._site.topic(ORDERS)
        for topic, _, partition, first, upto, *counts, updated in rows:
            if min(counts) < 0 or sum(counts) != upto - first:
                named = dict(zip(COUNTERS, counts, strict=True))
                self._violate(f"{topic}-{partition}: {first} to {upto} is not {named}")
            if topic == orders:
                before, self._reached[partition] = self._reached.get(partition, upto), upto
                for watch in self._watches:
                    # Offsets that an operator sets back are no row.
                    if upto > before and updated > watch.since and partition not in watch.moved:
                        watch.moved[partition] = now
        self._watches = [watch for watch in self._watches if len(watch.moved) < watch.partitions]

    def _violate(self, text: str) -> None:
        if text not in self.violations and len(self.violations) < _MOST_VIOLATIONS:
            self.violations.append(text)
            self._site.timeline.note(violation=text)

    # ---- the cache

    def _cache(self) -> None:
        while not self._stop.wait(_EVERY_SECONDS):
            with suppress(RedisError):
                for kind in (USERS, PRODUCTS):
                    emptied = self._emptied
                    rows = self._redis.hlen(f"cache:{kind}")
                    self.cache_looks += 1
                    if emptied is None or emptied is not self._emptied:
                        continue  # nobody knows if that was before or after
                    if rows:
                        self._full[kind] = True
                    elif self._full[kind]:
                        self._violate(f"cache:{kind} is empty")
