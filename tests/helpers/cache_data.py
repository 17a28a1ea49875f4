"""Users and products for the cache's tests, and a look at both sides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from redis import Redis, exceptions

from sesacctl.cache.client import connect
from sesacctl.cache.rows import COLUMNS, Table
from sesacctl.database import database
from sesacctl.settings import Settings


@contextmanager
def postgres(settings: Settings, *, autocommit: bool = True) -> Iterator[Any]:
    """A cursor on a connection of its own."""
    connection = database.connect(settings, command="test")
    connection.autocommit = autocommit
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def fill(settings: Settings, *, users: int = 0, products: int = 0, first: int = 1) -> None:
    """Never cached rows, numbered from `first` on."""
    with postgres(settings) as cursor:
        cursor.execute(
            """INSERT INTO users (user_id, name, gender, age, age_group, region)
            SELECT 'u_' || lpad(i::text, 8, '0'), '홍길동', 'F', 34, '30대', '서울'
            FROM generate_series(%s, %s) AS i""",
            (first, first + users - 1),
        )
        cursor.execute(
            """INSERT INTO products (product_id, name, category, price, discount_rate)
            SELECT 'p_' || lpad(i::text, 8, '0'), '이어폰', '전자기기', 89000, 10.5
            FROM generate_series(%s, %s) AS i""",
            (first, first + products - 1),
        )
        cursor.execute("ANALYZE users, products")


def cached_ids(settings: Settings, table: Table) -> set[str]:
    """The ids in the hash that readers use."""
    redis = connect(settings)
    try:
        keys: list[Any] = redis.hkeys(f"cache:{table}")
        return {key.decode() for key in keys}
    finally:
        redis.close()


def stamps(settings: Settings, table: Table) -> dict[str, Any]:
    """`last_cached_at` of each row, by id."""
    with postgres(settings) as cursor:
        cursor.execute(f"SELECT {COLUMNS[table][0]}, last_cached_at FROM {table}")
        return dict(cursor.fetchall())


def waits_for_a_lock(cursor: Any, command: str) -> bool:
    """Whether that command of this database waits for a row."""
    cursor.execute(
        """SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = %s AND wait_event_type = 'Lock')""",
        (f"sesacctl/{command}",),
    )
    return bool(cursor.fetchone()[0])


def fill_up(redis: Redis) -> None:
    """Write until 6 MB are full: there is no room for another generation."""
    redis.config_set("maxmemory", "6mb")
    for size in (100_000, 5_000):
        with suppress(exceptions.OutOfMemoryError):
            for number in range(80):
                redis.set(f"filler:{size}:{number}", b"x" * size)
