"""What PostgreSQL and Redis report about the loop, each in one visit that costs the same at any size."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sesacctl.cache.client import connect as connect_redis
from sesacctl.cache.rows import TABLES
from sesacctl.cache.state import CacheState, read_info, read_state
from sesacctl.database import row_security
from sesacctl.database.connections import transaction
from sesacctl.database.cursors import fetch_row
from sesacctl.database.row_security import SecuredTable
from sesacctl.database.schema import revisions
from sesacctl.database.schema.encoding import encoding_problem
from sesacctl.pipeline.sink import offsets
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions
    from redis import Redis

ANSWER_SECONDS = 4.0
MANY = 100_000
"""Rows are counted up to here."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Records of one topic that were not stored, and why: how many, and seconds since the first was kept."""

    topic: str
    reason: str
    count: int
    oldest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseView:
    """PostgreSQL, by its own clock.

    `read_only`: it takes no writes, as on a standby or where `default_transaction_read_only` is on.
    Per cached table: how many rows there are (an estimate above `MANY`), rows ever inserted, rows never cached (up to
    `MANY`), and the seconds since the longest waiting row was cached. `stored_age`: seconds since the group last
    stored something. `dead` and `parked_events` are the group's, each up to `MANY` in all.
    """

    version: str
    revision: str
    standby: bool
    encoding_problem: str | None
    now: datetime
    rows: dict[str, int]
    inserted: dict[str, int]
    never_cached: dict[str, int]
    oldest_turn: dict[str, float | None]
    stored_age: float | None
    dead: tuple[Waiting, ...]
    parked_events: tuple[Waiting, ...]
    row_security: tuple[SecuredTable, ...]
    read_only: bool

    @property
    def dead_letters(self) -> int:
        """How many dead letters there are, up to `MANY`."""
        return sum(each.count for each in self.dead)

    @property
    def parked(self) -> int:
        """How many events are parked, up to `MANY`."""
        return sum(each.count for each in self.parked_events)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisView:
    """Redis and the cache in it; `commands` is how many it has processed since its start.

    Both are None where INFO is refused.
    """

    version: str | None
    commands: int | None
    cache: CacheState


def read_database(settings: Settings) -> DatabaseView:
    """Read PostgreSQL's part of an observation.

    Raises:
        ConfigurationError: a setting of the connection is missing or wrong.
        ServerUnreachable: PostgreSQL cannot be reached.
        ServerRefused: PostgreSQL refused: wrong credentials or a missing right.
        DatabaseMissing: the server has no such database.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    with transaction(settings, command="health", bound=ANSWER_SECONDS) as cursor:
        return database_view(cursor, settings.kafka_group)


def database_view(cursor: extensions.cursor, group: str) -> DatabaseView:
    """`read_database`, on a connection that is there; psycopg2's own errors."""
    revisions.require_head(cursor.connection)
    cursor.execute(
        "SELECT current_setting('server_version'), pg_is_in_recovery(),"
        " current_setting('transaction_read_only') = 'on', now()"
    )
    version, standby, read_only, now = fetch_row(cursor)
    secured = row_security.look(cursor)
    waiting = {table: _row(cursor, _WAITING.format(table=table, most=MANY)) for table in TABLES}
    problem = encoding_problem(cursor.connection)
    stored_age = offsets.read_idle_seconds(cursor, group)
    dead, parked = (_waiting(cursor, statement, group) for statement in (_DEAD, _PARKED))
    return DatabaseView(
        version=version.split()[0],
        revision=revisions.head(),
        standby=standby,
        encoding_problem=problem,
        read_only=read_only,
        row_security=secured,
        now=now,
        rows={table: row["rows"] for table, row in waiting.items()},
        inserted={table: row["inserted"] for table, row in waiting.items()},
        never_cached={table: row["never_cached"] for table, row in waiting.items()},
        oldest_turn={table: row["oldest_turn"] for table, row in waiting.items()},
        stored_age=stored_age,
        dead=dead,
        parked_events=parked,
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
_OLDEST = "count(*), extract(epoch FROM now() - min(at))::float8"
_DEAD = f"""
    SELECT topic, reason, {_OLDEST}
    FROM (SELECT topic, reason, created_at AS at FROM dead_letters
          WHERE consumer_group = %(group)s AND discarded_at IS NULL LIMIT %(most)s) AS t
    GROUP BY topic, reason ORDER BY topic, reason"""
_PARKED = f"""
    SELECT topic, 'orphan', {_OLDEST}
    FROM (SELECT topic, parked_at AS at FROM parked_events WHERE consumer_group = %(group)s LIMIT %(most)s) AS t
    GROUP BY topic ORDER BY topic"""


def _waiting(cursor: extensions.cursor, statement: str, group: str) -> tuple[Waiting, ...]:
    cursor.execute(statement, {"group": group, "most": MANY})
    return tuple(Waiting(*row) for row in cursor.fetchall())


def _row(cursor: extensions.cursor, statement: str, **values: object) -> dict[str, Any]:
    cursor.execute(statement, values or None)
    return dict(zip((column.name for column in cursor.description or ()), fetch_row(cursor), strict=True))


def read_redis(settings: Settings) -> RedisView:
    """Read Redis's part of an observation.

    Raises:
        ServerUnreachable: Redis cannot be reached, or is not ready.
        ServerRefused: Redis refused: wrong credentials or a missing right.
    """
    redis = connect_redis(settings, answer_seconds=ANSWER_SECONDS)
    try:
        return redis_view(redis)
    finally:
        redis.close()


def redis_view(redis: Redis) -> RedisView:
    """`read_redis`, on a connection that is there; errors as there."""
    state = read_state(redis)
    info = read_info(redis)  # all of it: several sections at once need Redis 7
    return RedisView(
        version=info.get("valkey_version") or info.get("redis_version"),
        commands=info.get("total_commands_processed"),
        cache=state,
    )
