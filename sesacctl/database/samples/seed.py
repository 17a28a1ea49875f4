"""Sample users and products in PostgreSQL: the same rows for the same random seed, streamed by COPY."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import IO, TYPE_CHECKING, cast

import psycopg2

from sesacctl.database import row_security
from sesacctl.database.connections import transaction
from sesacctl.database.cursors import fetch_row
from sesacctl.database.samples.generate import (
    PRODUCT_COLUMNS,
    USER_COLUMNS,
    make_product,
    make_user,
    product_rows,
    user_rows,
)
from sesacctl.database.schema import revisions
from sesacctl.errors import AlreadySeeded, CheckFailed
from sesacctl.events import CODECS, Kind
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions

__all__ = ["TABLES", "Progress", "Seeded", "Table", "is_empty", "make_product", "make_user", "no_progress", "seed"]

logger = logging.getLogger(__name__)

USERS, PRODUCTS = 10_000, 20_000
RANDOM_SEED = 1
COPY_SECONDS = 300.0
_ROWS_A_COPY = 100_000
_ROWS_A_READ = 1_000
_LOCK = revisions.ADVISORY_LOCK + 1

Progress = Callable[[str, int], None]


def no_progress(_table: str, _rows: int) -> None:
    """Ignore progress."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seeded:
    """What one run added."""

    users: int
    products: int
    seconds: float
    rows_per_second: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """How one table is filled."""

    name: Kind
    columns: tuple[str, ...]
    prefix: str
    rows_for: Callable[[Random, Sequence[str]], Iterator[tuple[object, ...]]]

    def rows(self, first: int, count: int, random_seed: int) -> Iterator[tuple[object, ...]]:
        """`count` rows from number `first` on."""
        random = Random(f"{random_seed}/{self.name}/{first}")
        for start in range(first, first + count, _ROWS_A_READ):
            numbers = range(start, min(start + _ROWS_A_READ, first + count))
            yield from self.rows_for(random, [f"{self.prefix}{number:08d}" for number in numbers])

    def lines(self, first: int, count: int, random_seed: int) -> Iterator[bytes]:
        """The rows in COPY's text form, some at a time.

        No value needs escaping: none of the names holds a tab, a newline or a backslash.
        """
        line = "\t".join(["%s"] * len(self.columns)) + "\n"
        rows = map(line.__mod__, self.rows(first, count, random_seed))
        while some := "".join(islice(rows, _ROWS_A_READ)):
            yield some.encode()


TABLES = (
    Table(name=Kind.USERS, columns=USER_COLUMNS, prefix="u_", rows_for=user_rows),
    Table(name=Kind.PRODUCTS, columns=PRODUCT_COLUMNS, prefix="p_", rows_for=product_rows),
)


class _Reader:
    """A file for COPY that makes its rows while PostgreSQL stores the ones before: memory stays constant."""

    def __init__(self, lines: Iterator[bytes]) -> None:
        self._lines = lines
        self.failure: BaseException | None = None

    def read(self, _size: int) -> bytes:
        try:
            return next(self._lines, b"")
        except BaseException as error:  # psycopg2 would make an error of PostgreSQL of it, Ctrl-C included
            self.failure = error
            raise


def seed(
    settings: Settings,
    *,
    users: int = USERS,
    products: int = PRODUCTS,
    append: bool = False,
    random_seed: int = RANDOM_SEED,
    on_progress: Progress = no_progress,
) -> Seeded:
    """Add sample rows in one transaction, noted in `row_changes`; `on_progress(table, rows sent so far)`.

    Raises:
        AlreadySeeded: there are rows already and `append` is off.
        CheckFailed: another seed is at work.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
        ConfigurationError: a setting of the connection is missing or wrong.
        ServerUnreachable: PostgreSQL cannot be reached.
        ServerRefused: PostgreSQL refused: wrong credentials or a missing right.
        DatabaseMissing: the server has no such database.
    """
    started = time.monotonic()
    with transaction(settings, command="db-seed", bound=COPY_SECONDS, commit=True) as cursor:
        revisions.require_head(cursor.connection)
        row_security.require_all(cursor, ("users", "products", "row_changes"), ("SELECT", "INSERT"))
        _take_turn(cursor, append=append)
        for table, count in zip(TABLES, (users, products), strict=True):
            _load(cursor, table, count, random_seed, on_progress)
        cursor.connection.commit()
        cursor.execute("ANALYZE users, products")  # the aging queries' plans need to know that these are not empty
    seconds = time.monotonic() - started
    logger.info("sample rows added", extra={"action": "seed.done", "users": users, "products": products})
    rate = round((users + products) / seconds)
    return Seeded(users=users, products=products, seconds=round(seconds, 3), rows_per_second=rate)


def is_empty(settings: Settings) -> bool:
    """Whether there are neither users nor products; errors as `seed`."""
    with transaction(settings, command="db-seed") as cursor:
        return _is_empty(cursor)


def _is_empty(cursor: extensions.cursor) -> bool:
    cursor.execute("SELECT NOT EXISTS (SELECT FROM users) AND NOT EXISTS (SELECT FROM products)")
    return bool(fetch_row(cursor)[0])


def _take_turn(cursor: extensions.cursor, *, append: bool) -> None:
    cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", (_LOCK,))
    if not fetch_row(cursor)[0]:
        raise CheckFailed("Another `db seed` is adding rows to this database", hint="sesacctl db check")
    if append or _is_empty(cursor):
        return
    cursor.execute("SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM products)")
    users, products = fetch_row(cursor)
    raise AlreadySeeded(f"There are {users:,} users and {products:,} products already; nothing was added")


def _load(cursor: extensions.cursor, table: Table, count: int, random_seed: int, on_progress: Progress) -> None:
    key = CODECS[table.name].id_column
    cursor.execute(
        f"SELECT coalesce(max(substr({key}, 3)::integer), 0) + 1 FROM {table.name}"
        f" WHERE {key} ~ '^{table.prefix}[0-9]{{8}}$'"
    )
    lines = _watched(table, table.lines(fetch_row(cursor)[0], count, random_seed), on_progress)
    target = _target(cursor, table)
    stored = 0
    for done in range(0, count, _ROWS_A_COPY):
        reads = -(-min(_ROWS_A_COPY, count - done) // _ROWS_A_READ)
        stored += _copy(cursor, table, target, _Reader(islice(lines, reads)))
    change = "INSERT INTO row_changes (table_name, change, reason) VALUES (%s, %s, 'seed')"
    cursor.execute(change, (table.name, stored))
    on_progress(table.name, count)


def _target(cursor: extensions.cursor, table: Table) -> str:
    """Where rows can be copied to: PostgreSQL refuses COPY where there are policies, and INSERT not."""
    secured = row_security.look(cursor, (table.name,))
    if all(each.bypassed_by for each in secured):
        return table.name
    columns = ", ".join(table.columns)
    cursor.execute(
        f"CREATE TEMP TABLE seed_{table.name} ON COMMIT DROP AS SELECT {columns} FROM {table.name} WITH NO DATA"
    )
    return f"seed_{table.name}"


def _copy(cursor: extensions.cursor, table: Table, target: str, reader: _Reader) -> int:
    """How many rows were stored."""
    columns = ", ".join(table.columns)
    try:
        cursor.copy_expert(f"COPY {target} ({columns}) FROM STDIN", cast("IO[bytes]", reader))  # only `read` is called
        if target != table.name:
            cursor.execute(f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {target}")
            stored = int(cursor.rowcount)
            cursor.execute(f"TRUNCATE {target}")
            return stored
    except psycopg2.Error:
        if reader.failure:
            raise reader.failure from None
        raise
    return int(cursor.rowcount)


def _watched(table: Table, lines: Iterator[bytes], on_progress: Progress) -> Iterator[bytes]:
    for number, some in enumerate(lines):
        on_progress(table.name, number * _ROWS_A_READ)
        yield some
