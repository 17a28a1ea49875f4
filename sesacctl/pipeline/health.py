"""Is every server there, and does it have what the pipeline needs? One check a server, all at once."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum

from sesacctl.broker import topics
from sesacctl.broker.clients import admin, translated
from sesacctl.cache.client import connect as connect_redis
from sesacctl.cache.state import read_state
from sesacctl.database import database, schema
from sesacctl.errors import ServerRefused, ServerUnreachable, SesacctlError
from sesacctl.pipeline.progress import progress
from sesacctl.settings import Settings


class Verdict(StrEnum):
    """What a check found."""

    OK = "ok"
    UNHEALTHY = "unhealthy"
    DOWN = "down"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line: the verdict, what it rests on, and the command to run next if it is not ok."""

    name: str
    verdict: Verdict
    evidence: str
    next: str | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """All checks; the worst verdict is the whole one's."""

    verdict: Verdict
    checks: list[Check]


class _Finding(Exception):
    """A server that answers, and is not as it should be."""

    def __init__(self, evidence: str, command: str) -> None:
        super().__init__(evidence)
        self.command = command


def health(settings: Settings) -> Health:
    """Check PostgreSQL, Redis, Kafka and the loop between them; every wait inside is bounded. Raises nothing of ours."""
    probes: dict[str, Callable[[Settings], str]] = {
        "PostgreSQL": _postgres,
        "Redis": _redis,
        "Kafka": _kafka,
        "loop": _loop,
    }
    with ThreadPoolExecutor(len(probes), thread_name_prefix="health") as pool:
        checks = list(pool.map(lambda name: _check(name, probes[name], settings), probes))
    worst = max((check.verdict for check in checks), key=list(Verdict).index)
    return Health(verdict=worst, checks=checks)


def _check(name: str, probe: Callable[[Settings], str], settings: Settings) -> Check:
    started = time.monotonic()
    hint = None
    try:
        verdict, evidence = Verdict.OK, probe(settings)
    except _Finding as finding:
        verdict, evidence, hint = Verdict.UNHEALTHY, str(finding), finding.command
    except (ServerUnreachable, ServerRefused) as error:
        verdict, evidence, hint = Verdict.DOWN, str(error), error.hint
    except SesacctlError as error:
        verdict, evidence, hint = Verdict.UNHEALTHY, str(error), error.hint
    return Check(name=name, verdict=verdict, evidence=evidence, next=hint, seconds=round(time.monotonic() - started, 3))


def _postgres(settings: Settings) -> str:
    connection = database.connect(settings, command="health", bound=5.0)
    try:
        with database.translated(settings), connection.cursor() as cursor:
            schema.require_head(connection)
            cursor.execute("SELECT current_setting('server_version'), pg_is_in_recovery()")
            version, standby = cursor.fetchone()
    finally:
        connection.close()
    if standby:
        raise _Finding(f"PostgreSQL {version} is a read-only standby", "set POSTGRES_HOST to the primary")
    return f"{version}, schema at {schema.head()}"


def _redis(settings: Settings) -> str:
    redis = connect_redis(settings)
    try:
        state = read_state(redis)
    finally:
        redis.close()
    rows = {entry.table: entry.rows for entry in state.hashes}
    if state.evicts:
        raise _Finding(f"maxmemory-policy is {state.policy}: a full Redis would drop a whole table", "noeviction")
    if not all(rows.values()):
        raise _Finding("the cache is empty", "sesacctl cache refresh")
    return f"{rows['users']:,} users, {rows['products']:,} products, generation {state.generation}, {state.policy}"


def _kafka(settings: Settings) -> str:
    states = topics.describe(settings)
    client = admin(settings)
    try:
        with translated(settings):
            brokers = client.describe_cluster()["brokers"]
    finally:
        client.close()
    partitions = [partition for state in states for partition in state.partitions]
    replicas = {broker for partition in partitions for broker in partition.replicas}
    leaderless = sum(partition.leader is None for partition in partitions)
    if leaderless:
        raise _Finding(f"{leaderless} of {len(partitions)} partitions have no leader", "sesacctl stack status")
    behind = sum(partition.under_replicated for partition in partitions)
    if behind:
        raise _Finding(
            f"{len(brokers)} of {len(replicas)} brokers, {behind} of {len(partitions)} partitions under-replicated",
            "sesacctl stack status",
        )
    return f"{len(brokers)} brokers, {len(states)} topics, all {len(partitions)} partitions in sync"


def _loop(settings: Settings) -> str:
    partitions = progress(settings)
    missing = sum(abs(partition.missing) for partition in partitions)
    if missing:
        raise _Finding(f"{missing} offsets are not accounted for", "sesacctl audit")
    dead = sum(partition.counts.dead for partition in partitions)
    parked = sum(partition.counts.parked for partition in partitions)
    lag = sum(partition.lag for partition in partitions)
    return f"lag {lag:,}, {dead:,} dead letters, {parked:,} parked"
