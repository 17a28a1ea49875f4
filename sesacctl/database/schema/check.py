"""Is the database what sesacctl needs? Connection, revision, drift, indexes and rows in one report."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from psycopg2.extensions import connection as RawConnection  # noqa: N812

from sesacctl.database import database, row_security
from sesacctl.database.cursors import fetch_row
from sesacctl.database.models import Base
from sesacctl.database.poolers import is_transaction_pooler
from sesacctl.database.row_security import SecuredTable
from sesacctl.database.schema import revisions, version_table
from sesacctl.database.schema.drift import drift
from sesacctl.database.schema.encoding import encoding_problem
from sesacctl.database.schema.strangers import strangers
from sesacctl.errors import CheckFailed, SchemaNotAtHead, SesacctlError, TablesNotOurs
from sesacctl.settings import Settings

# A count of more rows than this would take too long; PostgreSQL's own estimate is near enough.
EXACT_UP_TO = 5_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCount:
    """Rows of one table; `never_cached` is None for a table that is not cached."""

    table: str
    rows: int
    estimated: bool
    never_cached: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexState:
    """One of our indexes."""

    index: str
    present: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The database as it was found; `drift` says what differs from the models, empty at head without drift.

    `schema`: where the tables are or would be. `foreign_version`: what another program's `alembic_version` holds;
    `in_the_way`: what is not of sesacctl and has the name of a table that it is to make. `order_key`: the columns of
    the primary key of orders, of which a partitioned table may have more than order_id; empty without one.
    """

    db_type: str
    server: str
    database: str
    user: str
    server_version: str | None
    latency_ms: float
    tls: str | None
    pooler: bool
    revision: str | None
    head: str
    drift: tuple[str, ...]
    tables: tuple[TableCount, ...]
    indexes: tuple[IndexState, ...]
    schema: str | None
    encoding: str | None
    encoding_problem: str | None
    foreign_version: str | None
    in_the_way: tuple[str, ...]
    row_security: tuple[SecuredTable, ...]
    order_key: tuple[str, ...]


def check(settings: Settings, *, wait_seconds: float | None = None) -> Report:
    """A report on any database that answers; `verdict` judges it. Waits, if asked to, until it is at head.

    Raises:
        ConfigurationError: a setting of the connection is missing or wrong.
        ServerUnreachable: PostgreSQL cannot be reached.
        ServerRefused: PostgreSQL refused: wrong credentials or a missing right.
        DatabaseMissing: the server has no such database.
    """
    if wait_seconds:
        with suppress(SchemaNotAtHead):  # the report says so
            database.wait_until_ready(lambda: revisions.require_head(settings), seconds=wait_seconds)
    location = database.locate(settings)
    pooler = is_transaction_pooler(settings)  # before there is a transaction: a pool may be one backend
    engine = database.engine_for(settings, command="db-check")
    try:
        with database.translate_errors(settings), engine.connect() as connection:
            raw = cast("RawConnection", connection.connection.driver_connection)
            with raw.cursor() as cursor:
                found = version_table.read(cursor)
                cursor.execute("SELECT current_schema()")
                where = fetch_row(cursor)[0]
                in_the_way = tuple(strangers(cursor, found.revision)) if where else ()
            revision = found.revision
            return Report(
                db_type=settings.db_type.value,
                server=location.address,
                database=raw.info.dbname,
                user=raw.info.user,
                server_version=raw.get_parameter_status("server_version"),
                latency_ms=_latency(raw),
                tls=raw.info.ssl_attribute("protocol") if raw.info.ssl_in_use else "off",
                pooler=pooler,
                revision=revision,
                head=revisions.head(),
                drift=drift(connection) if revision == revisions.head() else (),
                tables=tuple(
                    _count(raw, name) for name in Base.metadata.tables if not in_the_way and _exists(raw, name)
                ),
                schema=where,
                encoding=raw.get_parameter_status("server_encoding"),
                encoding_problem=encoding_problem(raw),
                foreign_version=found.foreign,
                in_the_way=in_the_way,
                indexes=tuple(
                    IndexState(index=str(index.name), present=_exists(raw, str(index.name)))
                    for table in Base.metadata.tables.values()
                    for index in sorted(table.indexes, key=lambda index: str(index.name))
                ),
                row_security=_row_security(raw),
                order_key=_order_key(raw),
            )
    finally:
        engine.dispose()


def verdict(report: Report) -> SesacctlError | None:
    """The error that the report amounts to, None if all is well."""
    if report.in_the_way:
        return TablesNotOurs(f"Schema {report.schema} is not free for sesacctl: {'; '.join(report.in_the_way)}")
    if refused := row_security.refusal(report.row_security):
        return refused  # first: what it hides may be the revision
    try:
        revisions.require_revision(report.revision)
    except SesacctlError as error:
        return error
    if report.drift:
        return CheckFailed(
            f"The tables are not those of revision {report.revision}: {'; '.join(report.drift)}",
            hint="undo the changes by hand; `sesacctl db migrate` does not know them",
        )
    if report.encoding_problem:
        return CheckFailed(
            report.encoding_problem[0].upper() + report.encoding_problem[1:],
            hint="sesacctl db init with a new POSTGRES_DB, which is made in UTF8; then load a dump of the data there",
        )
    return None


def _row_security(connection: RawConnection) -> tuple[SecuredTable, ...]:
    with connection.cursor() as cursor:
        return row_security.look(cursor)


def _order_key(connection: RawConnection) -> tuple[str, ...]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(array_agg(attname::text ORDER BY array_position(indkey::int2[], attnum)), '{}')"
            " FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)"
            " WHERE indrelid = to_regclass('orders') AND indisprimary"
        )
        return tuple(fetch_row(cursor)[0])


def _latency(connection: RawConnection) -> float:
    """The quickest of three round trips, in milliseconds."""
    times = []
    with connection.cursor() as cursor:
        for _ in range(3):
            started = time.perf_counter()
            cursor.execute("SELECT 1")
            times.append(time.perf_counter() - started)
    return round(min(times) * 1000, 3)


def _exists(connection: RawConnection, name: str) -> bool:
    """Whether there is such a table or such a valid index."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_class c LEFT JOIN pg_index i ON i.indexrelid = c.oid"
            " WHERE c.oid = to_regclass(%s) AND i.indisvalid IS NOT FALSE)",
            (name,),
        )
        return bool(fetch_row(cursor)[0])


def _count(connection: RawConnection, table: str) -> TableCount:
    cached = "last_cached_at" in Base.metadata.tables[table].columns
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass(%s)", (table,))
        rows = fetch_row(cursor)[0]
        estimated = rows > EXACT_UP_TO
        if not estimated:
            cursor.execute(f"SELECT count(*) FROM {table}")
            rows = fetch_row(cursor)[0]
        never_cached = None
        if cached:
            cursor.execute(f"SELECT count(*) FROM {table} WHERE last_cached_at IS NULL")
            never_cached = fetch_row(cursor)[0]
    return TableCount(table=table, rows=rows, estimated=estimated, never_cached=never_cached)
