"""One look at the three servers and the loop, all at once and within a bound: for `health`, `top` and `metrics`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from sesacctl.broker.cluster import Cluster, reachable_brokers, read_cluster
from sesacctl.broker.transactions import OpenTransaction
from sesacctl.errors import CheckFailed, ServerUnreachable, SesacctlError
from sesacctl.pipeline.audit.lag_age import lag_seconds
from sesacctl.pipeline.audit.log_identity import find_cuts, known_cuts
from sesacctl.pipeline.audit.partitions import PartitionProgress, held_back, read_partitions
from sesacctl.pipeline.sink.counts import PartitionKey
from sesacctl.pipeline.sink.log_cuts import CutLog
from sesacctl.pipeline.watch.probes import DatabaseView, RedisView, read_database, read_redis
from sesacctl.settings import Settings

logger = logging.getLogger(__name__)

LIMIT_SECONDS = 4.5
"""For all servers together: a probe answers within ten seconds, on a busy machine too."""
KAFKA_SECONDS = 2.0
AGE_SECONDS = 1.5
# By the settings that lead there; what looks at both servers of the loop waits for Kafka at most.
_SERVERS = {
    "PostgreSQL": ("postgres_host", "postgres_port"),
    "Redis": ("redis_url", "redis_host", "redis_port"),
    "Kafka": ("kafka_bootstrap_servers",),
}
_ASKS_KAFKA = ("brokers", "loop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What was seen; a side is None when `problems` says why. `at` is `time.monotonic()`.

    `held_back`: what cannot be read yet; `cuts`: the logs that are not those that were stored, as far as verdicts and
    ends tell, or, where they were `compared`, their last stored records. `silent`: addresses of brokers that do not
    answer; empty as well when nobody asked each of them. `lag_seconds` is None when nobody asked for ages. `took`: the
    seconds of each look. `own`: those of the servers that are the local stack's, or that nothing else names.
    """

    at: float
    database: DatabaseView | None
    redis: RedisView | None
    kafka: Cluster | None
    partitions: list[PartitionProgress] | None
    held_back: list[OpenTransaction]
    cuts: dict[PartitionKey, CutLog]
    compared: bool
    silent: list[str]
    problems: Mapping[str, SesacctlError]
    lag_seconds: Mapping[PartitionKey, float] | None = None
    took: Mapping[str, float] = field(default_factory=dict)
    own: frozenset[str] = frozenset(_SERVERS)

    @property
    def lag(self) -> int | None:
        """Events in Kafka that PostgreSQL does not have yet."""
        return None if self.partitions is None else sum(partition.lag for partition in self.partitions)

    @property
    def cache_age(self) -> float | None:
        """Seconds since the rows in the cache were picked, by PostgreSQL's clock."""
        at = self.redis.cache.refreshed_at if self.redis else None
        return (self.database.now - at).total_seconds() if at and self.database else None


def observe(settings: Settings, *, each_broker: bool = False, ages: bool = False) -> Observation:
    """Look at everything; a server that is away is a problem in the result, not an error.

    With `ages`, for metrics: also how long the oldest events have been waiting, and bugs are problems as well.
    """
    took: dict[str, float] = {}
    own = own_servers(settings)
    near: Future[Settings] = Future()

    def brokers() -> list[str]:
        try:
            narrowed, silent = reachable_brokers(settings, each=each_broker)
        except Exception as error:
            near.set_exception(error)
            raise
        near.set_result(narrowed)
        return silent

    def answering_brokers() -> Settings:
        try:
            return near.result(LIMIT_SECONDS)
        except TimeoutError:
            raise silent("Kafka", own) from None

    seen, problems = at_once(
        {
            "PostgreSQL": lambda: read_database(settings),
            "Redis": lambda: read_redis(settings),
            "brokers": brokers,
            "Kafka": lambda: read_cluster(answering_brokers(), seconds=KAFKA_SECONDS),
            "loop": lambda: _look_at_loop(answering_brokers(), closely=each_broker, ages=ages),
        },
        took=took,
        survive=ages,
        own=own,
    )
    loop: _Loop | None = seen.get("loop")
    return Observation(
        at=time.monotonic(),
        database=seen.get("PostgreSQL"),
        redis=seen.get("Redis"),
        kafka=seen.get("Kafka"),
        partitions=loop.partitions if loop else None,
        held_back=loop.held_back if loop else [],
        cuts=loop.cuts if loop else {},
        compared=loop is not None and loop.compared,
        silent=seen.get("brokers", []),
        problems=problems,
        lag_seconds=loop.lag_seconds if loop else None,
        took=took,
        own=own,
    )


@dataclass(frozen=True, slots=True)
class _Loop:
    partitions: list[PartitionProgress]
    held_back: list[OpenTransaction]
    cuts: dict[PartitionKey, CutLog]
    compared: bool
    lag_seconds: Mapping[PartitionKey, float] | None = None


def _look_at_loop(settings: Settings, *, closely: bool, ages: bool) -> _Loop:
    partitions = read_partitions(settings)
    held, cuts = held_back(settings, partitions), known_cuts(partitions)
    if not closely:
        return _Loop(partitions, held, cuts, compared=False, lag_seconds=_ages(settings, partitions) if ages else None)
    try:
        return _Loop(partitions, held, find_cuts(settings, partitions, seconds=KAFKA_SECONDS), compared=True)
    except SesacctlError as error:  # brokers that are slow, or a user who may not read: the rest is known all the same
        logger.info("the logs were not compared: %s", error, extra={"action": "health.logs"})
        return _Loop(partitions, held, cuts, compared=False)


def _ages(settings: Settings, partitions: list[PartitionProgress]) -> Mapping[PartitionKey, float] | None:
    try:
        return lag_seconds(settings, partitions, seconds=AGE_SECONDS)
    except SesacctlError as error:
        logger.info("the age of the lag is not known: %s", error, extra={"action": "metrics.lag"})
        return None


def at_once(
    looks: Mapping[str, Callable[[], Any]],
    *,
    took: dict[str, float] | None = None,
    survive: bool = False,
    own: frozenset[str] = frozenset(_SERVERS),
) -> tuple[dict[str, Any], dict[str, SesacctlError]]:
    """Run all probes at once: their results, and the errors of those that failed, by name, within `LIMIT_SECONDS`.

    In daemon threads: nothing else ends a wait inside a driver, and a probe must not wait for it at its end. `took`
    gets the seconds that each was waited for. To `survive` is to take a bug in one of them for its server's problem.
    `own` as in `Observation`.
    """
    began = time.monotonic()
    times: dict[str, float] = {}
    seen: dict[str, Any] = {}
    failed: dict[str, Exception] = {}

    def look(name: str) -> None:
        try:
            seen[name] = looks[name]()
        except Exception as error:
            failed[name] = error
        times[name] = time.monotonic() - began

    threads = {name: threading.Thread(target=look, args=(name,), name=f"look-{name}", daemon=True) for name in looks}
    for thread in threads.values():
        thread.start()
    deadline = time.monotonic() + LIMIT_SECONDS
    for name, thread in threads.items():
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            failed[name] = silent(name, own)
    if took is not None:
        took |= {name: times.get(name, time.monotonic() - began) for name in looks}
    problems = {}
    for name, error in dict(failed).items():  # a copy: one that is late may still come
        if isinstance(error, SesacctlError):
            problems[name] = error
        elif survive:
            logger.error("%s: %r", name, error, exc_info=error, extra={"action": "metrics.failed"})
            problems[name] = CheckFailed(f"{name}: {error!r}", hint="sesacctl health")
        else:
            raise error
    return {name: result for name, result in dict(seen).items() if name not in problems}, problems


def own_servers(settings: Settings) -> frozenset[str]:
    """The servers that are the local stack's, or that nothing else names."""
    return frozenset(name for name, names in _SERVERS.items() if settings.follows_stack(*names))


def silent(name: str, own: frozenset[str]) -> ServerUnreachable:
    """The error for a server that holds a look up; `own` as in `Observation`."""
    server = "Kafka" if name in _ASKS_KAFKA else name
    hint = "sesacctl stack status" if server in own else f"look at {server} where it runs, then sesacctl health"
    return ServerUnreachable(f"{name} gave no answer within {LIMIT_SECONDS:g} s", hint=hint)
