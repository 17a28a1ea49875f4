"""Looks at the loop from outside, several times a second; each server in a thread of its own, as one may hang."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue

from sesacctl.broker.glance import glance
from sesacctl.cache.connections import connect as connect_redis
from sesacctl.cache.state import read_state
from sesacctl.database.connections import transaction
from sesacctl.drill import instances
from sesacctl.drill.sights import CacheLook, DatabaseLook, KafkaLook, Look, ProcessLook
from sesacctl.errors import SesacctlError
from sesacctl.pipeline.sink import offsets
from sesacctl.pipeline.sink.counts import Counts
from sesacctl.settings import Settings

logger = logging.getLogger(__name__)

_ANSWER_SECONDS = 3.0  # of a busy machine
_CLOSE_SECONDS = 10.0


class Looks:
    """What was seen, in a queue; close it."""

    def __init__(self, settings: Settings, supervisors: Callable[[], Sequence[int]]) -> None:
        """`supervisors`: the pids of those whose instances are counted, as of now."""
        self._settings, self._supervisors = settings, supervisors
        self._seen: SimpleQueue[Look | Exception] = SimpleQueue()
        self._stop = threading.Event()
        looks: dict[Callable[[], Look], float] = {
            self._database: 0.15, self._cache: 0.3, self._kafka: 0.4, self._processes: 0.2,
        }  # fmt: skip
        self._threads = [
            threading.Thread(target=self._repeat, args=each, name=f"look{each[0].__name__}", daemon=True)
            for each in looks.items()
        ]
        for thread in self._threads:
            thread.start()

    def next(self, seconds: float) -> Look | None:
        """The oldest look that nobody has taken; None if none comes within `seconds`. A bug in a look is raised."""
        try:
            found = self._seen.get(timeout=seconds)
        except Empty:
            return None
        if isinstance(found, Exception):
            raise found
        return found

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        for thread in self._threads:
            thread.join(_CLOSE_SECONDS)

    def _repeat(self, look: Callable[[], Look], every: float) -> None:
        try:
            while not self._stop.wait(every):
                self._seen.put(look())
        except Exception as error:  # raised where looks are taken
            self._seen.put(error)

    def _database(self) -> Look:
        try:
            with transaction(self._settings, command="drill", bound=_ANSWER_SECONDS) as cursor:
                found = offsets.read_partitions(cursor, self._settings.kafka_group)
        except SesacctlError as error:
            _note(error)
            return DatabaseLook(time.monotonic(), None)
        counts = Counts()
        for part in found.values():
            counts.add(part.counts)
        return DatabaseLook(time.monotonic(), {key: part.mark.next_offset for key, part in found.items()}, counts)

    def _cache(self) -> Look:
        redis = connect_redis(self._settings, answer_seconds=_ANSWER_SECONDS)
        try:
            state = read_state(redis)
        except SesacctlError as error:
            _note(error)
            return CacheLook(time.monotonic(), None)
        finally:
            redis.close()
        return CacheLook(
            time.monotonic(), 0 if state.empty else sum(each.rows for each in state.hashes), state.generation
        )

    def _kafka(self) -> Look:
        asked_at = time.monotonic()
        try:
            found = glance(self._settings, seconds=_ANSWER_SECONDS)
        except SesacctlError as error:
            _note(error)
            return KafkaLook(time.monotonic(), asked_at)
        return KafkaLook(time.monotonic(), asked_at, found.brokers, found.out_of_sync, found.ends, found.members)

    def _processes(self) -> Look:
        return ProcessLook(time.monotonic(), sum(len(instances.of_supervisor(pid)) for pid in self._supervisors()))


def _note(error: SesacctlError) -> None:
    logger.debug("%s", error, extra={"action": "drill.look"})
