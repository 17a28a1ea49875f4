"""`observe` for one who looks every second: over connections that stay, and a server that hangs holds up one look."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from sesacctl.broker.cluster import Cluster
from sesacctl.broker.cluster_watch import ClusterLook, ClusterWatch
from sesacctl.broker.offsets import LogOffsets
from sesacctl.cache.client import connect as connect_redis
from sesacctl.database import row_security
from sesacctl.database.connections import connect, translate_errors
from sesacctl.errors import SesacctlError
from sesacctl.pipeline.audit.log_identity import known_cuts
from sesacctl.pipeline.audit.partitions import PartitionProgress, progress_of
from sesacctl.pipeline.sink import offsets
from sesacctl.pipeline.watch import observation
from sesacctl.pipeline.watch.observation import KAFKA_SECONDS, Observation, own_servers, silent
from sesacctl.pipeline.watch.probes import (
    ANSWER_SECONDS,
    DatabaseView,
    RedisView,
    database_view,
    redis_view,
)
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions
    from redis import Redis

T = TypeVar("T")

AGAIN_SECONDS = 0.6
"""So long is waited for a server that did not answer at the look before."""


class Observer:
    """Asks what `observe` asks, but for what `top` does not show: settings of topics, and open transactions."""

    def __init__(self, settings: Settings) -> None:
        """Connect to nothing yet."""
        self._settings, self._own = settings, own_servers(settings)
        self._cluster = ClusterWatch(settings, seconds=KAFKA_SECONDS)
        self._view, self._progress = _KeptConnection(settings), _KeptConnection(settings)
        self._redis: Redis | None = None
        self._logs: Future[ClusterLook] = Future()
        self._parts: dict[str, _Part[Any]] = {
            "PostgreSQL": _Part("PostgreSQL", self._read_database, self._own),
            "Redis": _Part("Redis", self._read_redis, self._own),
            "Kafka": _Part("Kafka", self._read_kafka, self._own),
            "loop": _Part("loop", self._read_loop, self._own),
        }

    def observe(self) -> Observation:
        """Look at everything; a server that is away is a problem in the result. One caller at a time."""
        if not self._parts["Kafka"].runs:
            self._logs = Future()
        began = time.monotonic()
        for part in self._parts.values():
            part.begin()
        seen: dict[str, Any] = {}
        problems: dict[str, SesacctlError] = {}
        for name, part in self._parts.items():
            try:
                seen[name] = part.result(began)
            except SesacctlError as error:
                problems[name] = error
        partitions: list[PartitionProgress] | None = seen.get("loop")
        return Observation(
            at=time.monotonic(),
            database=seen.get("PostgreSQL"),
            redis=seen.get("Redis"),
            kafka=seen.get("Kafka"),
            partitions=partitions,
            held_back=[],
            cuts=known_cuts(partitions) if partitions else {},
            compared=False,
            silent=[],
            problems=problems,
            own=self._own,
        )

    def close(self) -> None:
        """Give all connections up that nobody waits on."""
        for part, closing in (("PostgreSQL", self._view.close), ("loop", self._progress.close),
                              ("Kafka", self._cluster.close), ("Redis", self._close_redis)):  # fmt: skip
            if not self._parts[part].runs:
                closing()

    def _read_database(self) -> DatabaseView:
        return self._view.ask(lambda cursor: database_view(cursor, self._settings.kafka_group))

    def _read_redis(self) -> RedisView:
        if self._redis is None:
            self._redis = connect_redis(self._settings, answer_seconds=ANSWER_SECONDS)
        try:
            return redis_view(self._redis)
        except Exception:
            self._close_redis()
            raise

    def _close_redis(self) -> None:
        redis, self._redis = self._redis, None
        if redis is not None:
            redis.close()

    def _read_kafka(self) -> Cluster:
        logs = self._logs
        try:
            look = self._cluster.look()
        except Exception as error:
            logs.set_exception(error)
            raise
        logs.set_result(look)
        return look.cluster

    def _read_loop(self) -> list[PartitionProgress]:
        try:
            seen = [self._logs.result(observation.LIMIT_SECONDS).logs]
        except TimeoutError:
            raise silent("Kafka", self._own) from None

        def logs() -> list[LogOffsets]:
            return seen.pop() if seen else self._cluster.logs()

        def read(cursor: extensions.cursor) -> list[PartitionProgress]:
            row_security.require_visible(cursor, (offsets.TABLE, "log_cuts"))
            return progress_of(cursor, self._settings.kafka_group, logs)

        return self._progress.ask(read)


class _KeptConnection:
    """A connection to PostgreSQL that is made again after each error; each statement sees what is there then."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection: extensions.connection | None = None

    def ask(self, work: Callable[[extensions.cursor], T]) -> T:
        try:
            if self._connection is None:
                self._connection = connect(self._settings, command="dashboard", bound=ANSWER_SECONDS)
                self._connection.autocommit = True
            with translate_errors(self._settings), self._connection.cursor() as cursor:
                return work(cursor)
        except Exception:
            self.close()
            raise

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _Part(Generic[T]):
    """One server's question, in a thread at a time; it may still wait for an answer when the next look begins."""

    def __init__(self, name: str, question: Callable[[], T], own: frozenset[str]) -> None:
        self._name, self._question, self._own = name, question, own
        self._thread: threading.Thread | None = None
        self._was_well = True
        self._began = False
        self._answer: T | None = None
        self._error: Exception | None = None

    @property
    def runs(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def begin(self) -> None:
        """Ask, unless the last question has not been answered yet."""
        self._began = not self.runs
        if self._began:
            self._answer, self._error = None, None
            self._thread = threading.Thread(target=self._ask, name=f"look-{self._name}", daemon=True)
            self._thread.start()

    def result(self, began: float) -> T | None:
        """The answer of this look, which began then.

        Raises:
            SesacctlError: there is none in time, or the question's own. Bugs are raised as they are.
        """
        assert self._thread is not None
        patience = observation.LIMIT_SECONDS if self._was_well else AGAIN_SECONDS
        self._thread.join(max(0.0, began + patience - time.monotonic()))
        if self._thread.is_alive() or not self._began:
            self._was_well = not self._thread.is_alive() and self._error is None
            raise silent(self._name, self._own)
        self._was_well = self._error is None
        if self._error is not None:
            raise self._error
        return self._answer

    def _ask(self) -> None:
        try:
            self._answer = self._question()
        except Exception as error:
            self._error = error
