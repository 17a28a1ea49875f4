"""One look at the three servers and the loop, all at once and within a bound: for `health`, `top` and `metrics`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from sesacctl.broker.cluster import Cluster, answering, read_cluster
from sesacctl.cache.client import connect as connect_redis
from sesacctl.cache.connections import translated as redis_translated
from sesacctl.cache.rows import TABLES
from sesacctl.cache.state import CacheState, read_state
from sesacctl.database import database, schema
from sesacctl.errors import ServerUnreachable, SesacctlError
from sesacctl.pipeline.progress import Progress, progress
from sesacctl.settings import Settings

LIMIT_SECONDS = 4.5
"""For all servers together: a probe answers within ten seconds, on a busy machine too."""
ANSWER_SECONDS = 4.0
KAFKA_SECONDS = 2.0
MANY = 100_000
"""Rows are counted up to here, so that a look costs the same at any size."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseView:
    """PostgreSQL, by its own clock.

    Per cached table: how many rows there are (an estimate above `MANY`), rows ever inserted, rows never cached (up to
    `MANY`), and the seconds since the longest waiting row had its turn. `stored_age`: seconds since the group last
    stored something.
    """

    version: str
    revision: str
    standby: bool
    now: datetime
    rows: dict[str, int]
    inserted: dict[str, int]
    never_cached: dict[str, int]
    oldest_turn: dict[str, float | None]
    stored_age: float | None
    dead_letters: int
    parked: int
    parked_age: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisView:
    """Redis and the cache in it; `commands` is how many it has processed since its start."""

    version: str
    commands: int
    cache: CacheState


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What was seen; a side is None when `problems` says why. `at` is `time.monotonic()`.

    `silent`: addresses of brokers that do not answer; empty as well when nobody asked each of them.
    """

    at: float
    database: DatabaseView | None
    redis: RedisView | None
    kafka: Cluster | None
    partitions: list[Progress] | None
    silent: list[str]
    problems: Mapping[str, SesacctlError]

    @property
    def lag(self) -> int | None:
        """Events in Kafka that PostgreSQL does not have yet."""
        return None if self.partitions is None else sum(partition.lag for partition in self.partitions)

    @property
    def cache_age(self) -> float | None:
        """Seconds since the rows in the cache were picked, by PostgreSQL's clock."""
        at = self.redis.cache.refreshed_at if self.redis else None
        return (self.database.now - at).total_seconds() if at and self.database else None


def observe(settings: Settings, *, each_broker: bool = False) -> Observation:
    """Look at everything; a server that is away is a problem in the result, not an error."""
    near: Future[Settings] = Future()

    def brokers() -> list[str]:
        try:
            narrowed, silent = answering(settings, each=each_broker)
        except Exception as error:
            near.set_exception(error)
            raise
        near.set_result(narrowed)
        return silent

    seen, problems = at_once(
        {
            "PostgreSQL": lambda: read_database(settings),
            "Redis": lambda: read_redis(settings),
            "brokers": brokers,
            "Kafka": lambda: read_cluster(near.result(LIMIT_SECONDS), seconds=KAFKA_SECONDS),
            "loop": lambda: progress(near.result(LIMIT_SECONDS)),
        }
    )
    return Observation(
        at=time.monotonic(),
        database=seen.get("PostgreSQL"),
        redis=seen.get("Redis"),
        kafka=seen.get("Kafka"),
        partitions=seen.get("loop"),
        silent=seen.get("brokers", []),
        problems=problems,
    )


def at_once(looks: Mapping[str, Callable[[], Any]]) -> tuple[dict[str, Any], dict[str, SesacctlError]]:
    """The results of all looks and the errors of those that failed, by name, within `LIMIT_SECONDS`.

    In daemon threads: nothing else ends a wait inside a driver, and a probe must not wait for it at its end.
    """
    seen: dict[str, Any] = {}
    failed: dict[str, Exception] = {}

    def look(name: str) -> None:
        try:
            seen[name] = looks[name]()
        except Exception as error:
            failed[name] = error

    threads = {name: threading.Thread(target=look, args=(name,), name=f"look-{name}", daemon=True) for name in looks}
    for thread in threads.values():
        thread.start()
    deadline = time.monotonic() + LIMIT_SECONDS
    for name, thread in threads.items():
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            failed[name] = ServerUnreachable(
                f"{name} gave no answer within {LIMIT_SECONDS:g} s", hint="sesacctl stack status"
            )
    problems = {}
    for name, error in failed.items():
        if not isinstance(error, SesacctlError):
            raise error
        problems[name] = error
    return {name: result for name, result in seen.items() if name not in problems}, problems


def read_database(settings: Settings) -> DatabaseView:
    """PostgreSQL's side.

    Raises:
        ServerUnreachable, ServerRefused, DatabaseMissing, SchemaNotAtHead.
    """
    connection = database.connect(settings, command="health", bound=ANSWER_SECONDS)
    try:
        with database.translated(settings), connection.cursor() as cursor:
            schema.require_head(connection)
            cursor.execute("SELECT current_setting('server_version'), pg_is_in_recovery(), now()")
            version, standby, now = cursor.fetchone()
            waiting = {table: _row(cursor, _WAITING.format(table=table, most=MANY)) for table in TABLES}
            refused = _row(cursor, _REFUSED, group=settings.kafka_group, most=MANY)
    finally:
        connection.close()
    return DatabaseView(
        version=version.split()[0],
        revision=schema.head(),
        standby=standby,
        now=now,
        rows={table: row["rows"] for table, row in waiting.items()},
        inserted={table: row["inserted"] for table, row in waiting.items()},
        never_cached={table: row["never_cached"] for table, row in waiting.items()},
        oldest_turn={table: row["oldest_turn"] for table, row in waiting.items()},
        **refused,
    )


_WAITING = """
    SELECT n_tup_ins AS inserted,
        (SELECT CASE WHEN count(*) < {most} THEN count(*)
                ELSE (SELECT greatest({most}, reltuples::bigint) FROM pg_class WHERE oid = '{table}'::regclass) END
         FROM (SELECT FROM {table} LIMIT {most}) AS t) AS rows,
        (SELECT count(*) FROM (SELECT FROM {table} WHERE last_cached_at IS NULL LIMIT {most}) AS t) AS never_cached,
        (SELECT extract(epoch FROM now() - min(last_cached_at))::float8 FROM {table}
         WHERE last_cached_at IS NOT NULL) AS oldest_turn
    FROM pg_stat_user_tables WHERE relid = '{table}'::regclass"""
_REFUSED = """
    SELECT (SELECT extract(epoch FROM now() - max(updated_at))::float8 FROM sink_offsets
            WHERE consumer_group = %(group)s) AS stored_age,
        (SELECT count(*) FROM (SELECT FROM dead_letters WHERE consumer_group = %(group)s AND discarded_at IS NULL
                               LIMIT %(most)s) AS t) AS dead_letters,
        (SELECT count(*) FROM (SELECT FROM parked_events WHERE consumer_group = %(group)s LIMIT %(most)s) AS t)
            AS parked,
        (SELECT extract(epoch FROM now() - min(parked_at))::float8 FROM parked_events
         WHERE consumer_group = %(group)s) AS parked_age"""


def _row(cursor: Any, statement: str, **values: object) -> dict[str, Any]:
    cursor.execute(statement, values or None)
    return dict(zip((column.name for column in cursor.description), cursor.fetchone(), strict=True))


def read_redis(settings: Settings) -> RedisView:
    """Redis's side.

    Raises:
        ServerUnreachable, ServerRefused.
    """
    redis = connect_redis(settings, answer_seconds=ANSWER_SECONDS)
    try:
        state = read_state(redis)
        with redis_translated(redis):
            info: dict[str, Any] = redis.info("server", "stats")
    finally:
        redis.close()
    return RedisView(
        version=str(info.get("valkey_version") or info["redis_version"]),
        commands=int(info["total_commands_processed"]),
        cache=state,
    )
