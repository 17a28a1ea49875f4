"""Observations of a loop that runs well, to be spoiled by tests."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sesacctl.broker.cluster import Cluster
from sesacctl.cache.state import CacheState, HashState
from sesacctl.errors import ServerUnreachable
from sesacctl.events import Kind
from sesacctl.pipeline.audit.partitions import PartitionProgress
from sesacctl.pipeline.sink.counts import Counts
from sesacctl.pipeline.watch.observation import Observation
from sesacctl.pipeline.watch.probes import DatabaseView, RedisView

NOW = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)


def partition(
    kind: Kind = Kind.ORDERS, number: int = 0, *, end: int = 100, stored: int = 100, lost: int = 0
) -> PartitionProgress:
    """A partition of which `stored` events are rows and `lost` are nowhere."""
    return PartitionProgress(
        kind=kind,
        topic=kind,
        topic_id=UUID(int=1),
        partition=number,
        log_start=0,
        log_end=end,
        log_stable_end=end,
        first=0,
        next=stored + lost,
        kafka_offset=stored,
        counts=Counts(stored=stored),
    )


DATABASE = DatabaseView(
    version="18.4",
    revision="0005",
    standby=False,
    encoding_problem=None,
    now=NOW,
    rows={"users": 10_000, "products": 20_000},
    inserted={"users": 10_000, "products": 20_000},
    never_cached={"users": 0, "products": 0},
    oldest_turn={"users": 500.0, "products": 1000.0},
    stored_age=1.0,
    dead=(),
    parked_events=(),
    read_only=False,
    row_security=(),
)
CACHE = CacheState(
    hashes=(HashState(table="users", rows=1000, memory=1), HashState(table="products", rows=1000, memory=1)),
    generation=7,
    refreshed_at=NOW - timedelta(seconds=10),
    period=50.0,
    size=1000,
    fresh=500,
    used_memory=2_000_000,
    max_memory=0,
    policy="noeviction",
)
REDIS = RedisView(version="9.1.2", commands=1000, cache=CACHE)
KAFKA = Cluster(
    brokers=(1, 2, 3),
    replica_brokers=(1, 2, 3),
    partitions=15,
    leaderless=0,
    under_replicated=0,
    below_min_isr=0,
    members=9,
    newest_event=0.0,
)
GOOD = Observation(
    at=100.0,
    database=DATABASE,
    redis=REDIS,
    kafka=KAFKA,
    partitions=[partition()],
    held_back=[],
    cuts={},
    compared=True,
    silent=[],
    problems={},
)


def database(**changes: Any) -> Observation:
    """Good, but for that in PostgreSQL."""
    return replace(GOOD, database=replace(DATABASE, **changes))


def cache(**changes: Any) -> Observation:
    """Good, but for that in the cache."""
    return replace(GOOD, redis=replace(REDIS, cache=replace(CACHE, **changes)))


def kafka(**changes: Any) -> Observation:
    """Good, but for that in Kafka."""
    return replace(GOOD, kafka=replace(KAFKA, **changes))


def without(*servers: str) -> Observation:
    """Good, but these servers are away."""
    fields: dict[str, Any] = {"PostgreSQL": "database", "Redis": "redis", "Kafka": "kafka"}
    gone: dict[str, Any] = {fields[server]: None for server in servers}
    problems = {server: ServerUnreachable(f"{server} cannot be reached") for server in servers}
    if servers != ("Redis",):
        gone["partitions"] = None
        problems["loop"] = problems[servers[0]]
    return replace(GOOD, problems=problems, **gone)
