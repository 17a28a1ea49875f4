"""Makes the schema where there is none; `python -m sesacctl.database.init_db` does it for the configured `DB_TYPE`."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import psycopg2
from psycopg2 import sql

from sesacctl import log
from sesacctl import settings as settings_module
from sesacctl.database import database
from sesacctl.database.connections import read_row, transaction
from sesacctl.database.samples import seed
from sesacctl.database.schema import adoption, plan, revisions, times
from sesacctl.database.schema import state as state_module
from sesacctl.database.schema.dependants import Dependant, require_none
from sesacctl.errors import AlreadySeeded, DatabaseMissing, SesacctlError
from sesacctl.settings import DbType, Settings

if TYPE_CHECKING:
    from sqlalchemy import Connection

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Initialized:
    """What was done, or, with `dry_run`, would be.

    `before` is the revision found, `adopted` the one that existing tables are taken over at. `timestamps`: the columns
    whose times get the zone `timestamps_in`; `dependants`: what would stop that; `foreign_version`: the revision in
    another program's `alembic_version`, which is left alone.
    """

    server: str
    database: str
    created_database: bool
    before: str | None
    adopted: str | None
    revision: str
    seeded: seed.Seeded | None
    dry_run: bool = False
    schema: str | None = None
    created_schema: bool = False
    foreign_version: str | None = None
    timestamps: tuple[str, ...] = ()
    timestamps_in: str | None = None
    server_zone: str = "UTC"
    dependants: tuple[Dependant, ...] = ()


def changes_existing(state: state_module.State) -> bool:
    """Whether `initialize` would change tables that are there already."""
    return state.has_tables and state.revision != revisions.head()


def look(settings: Settings, *, wait_seconds: float | None = None) -> state_module.State:
    """The database's state before `initialize`, empty if that would make it; waits for the server if asked to.

    Raises:
        SchemaNotAtHead: a newer sesacctl made the schema;
        TablesNotOurs: something of another program is where its tables belong;
        ConfigurationError: a setting of the connection is missing or wrong.
        ServerUnreachable: PostgreSQL cannot be reached.
        ServerRefused: PostgreSQL refused: wrong credentials or a missing right.
        DatabaseMissing: the server has no such database, and `DB_TYPE` is not local.
    """
    revisions.require_direct(settings)
    return (
        database.wait_until_ready(lambda: _snapshot(settings), seconds=wait_seconds)
        if wait_seconds
        else _snapshot(settings)
    )


def _snapshot(settings: Settings) -> state_module.State:
    try:
        if settings.postgres_schema and not _has_schema(settings):
            return state_module.State(revision=None, has_tables=False)
        return state_module.look(settings)
    except DatabaseMissing:
        if settings.db_type is DbType.LOCAL:
            return state_module.State(revision=None, has_tables=False)
        raise


def preview(settings: Settings, *, timestamps_in: str | None = None) -> Initialized:
    """What `initialize` would do; nothing is changed, and no table locked. Errors as `initialize`."""
    if timestamps_in is not None:
        times.check_zone(timestamps_in)
    state = look(settings)
    missing = _is_missing(settings)
    plan.require_utf8(settings, state)
    takes_over = state.revision is None and state.has_tables
    adopted = revisions.change(settings, _would_adopt) if takes_over else None
    steps = [script.module for script in revisions.steps(state.revision or adopted)]
    return replace(
        _found(settings, state),
        adopted=adopted,
        dry_run=True,
        created_database=missing,
        created_schema=bool(settings.postgres_schema) and (missing or not _has_schema(settings)),
        timestamps_in=timestamps_in,
        dependants=plan.in_the_way(settings, steps) if state.has_tables else (),
    )


def _would_adopt(connection: Connection) -> str | None:
    revision = adoption.find_revision(connection)
    connection.rollback()
    return revision


def initialize(
    settings: Settings,
    *,
    with_seed: bool = False,
    timestamps_in: str | None = None,
    on_progress: seed.Progress = seed.no_progress,
) -> Initialized:
    """The schema at head: made, taken over from an older version, or brought up to date; nothing in it is lost.

    With `DB_TYPE=local` a missing database is made as well, and so is `POSTGRES_SCHEMA`; `with_seed` adds sample rows
    where there are none. `timestamps_in`: the time zone of the times of old tables that have none.

    Raises:
        SchemaNotAtHead: existing tables equal no revision, or the schema is newer than this sesacctl;
        TablesNotOurs: something of another program is where its tables belong;
        UsageError: old tables have times without a zone, and `timestamps_in` is None or no zone;
        ConfigurationError: a setting of the connection is missing or wrong.
        ServerUnreachable: PostgreSQL cannot be reached.
        ServerRefused: PostgreSQL refused: wrong credentials or a missing right.
        DatabaseMissing: the server has no such database, and `DB_TYPE` is not local.
        CheckFailed: the migration or the sample rows could not be finished; the message says why.
    """
    revisions.require_direct(settings)  # before anything is made
    created = settings.db_type is DbType.LOCAL and _create_database(settings)
    created_schema = settings.postgres_schema is not None and _create_schema(settings, settings.postgres_schema)
    state = state_module.look(settings)
    plan.require_utf8(settings, state)
    times.require_zone(state.without_zone, timestamps_in, server_zone=state.server_zone, command="db init")
    if changes_existing(state):
        require_none(preview(settings).dependants, command="sesacctl db init")
    adopted = revisions.change(settings, lambda connection: _adopt_and_upgrade(connection, timestamps_in))
    logger.info("schema ready", extra={"action": "schema.ready", "revision": revisions.head()})
    return replace(
        _found(settings, state),
        adopted=adopted,
        created_database=created,
        created_schema=created_schema,
        timestamps_in=timestamps_in,
        seeded=_seed_empty(settings, on_progress) if with_seed else None,
    )


def _seed_empty(settings: Settings, on_progress: seed.Progress) -> seed.Seeded | None:
    """Sample rows, but only where there is neither a user nor a product; None where there are."""
    if not seed.is_empty(settings):
        return None
    try:
        return seed.seed(settings, on_progress=on_progress)
    except AlreadySeeded:  # the first ones have just come
        return None


def _found(settings: Settings, state: state_module.State) -> Initialized:
    location = database.locate(settings)
    return Initialized(
        server=location.address,
        database=location.database,
        before=state.revision,
        revision=revisions.head(),
        schema=settings.postgres_schema,
        foreign_version=state.foreign_version,
        timestamps=state.without_zone,
        server_zone=state.server_zone,
        adopted=None,
        created_database=False,
        seeded=None,
    )


def _adopt_and_upgrade(connection: Connection, timestamps_in: str | None) -> str | None:
    """In one transaction, so that tables are never stamped and left behind."""
    adopted = adoption.adopt(connection)
    revisions.run_on(connection, "upgrade", "head", timestamps_in=timestamps_in)
    return adopted


def _is_missing(settings: Settings) -> bool:
    try:
        database.connect(settings, command="db-init").close()
    except DatabaseMissing:
        return True
    return False


def _has_schema(settings: Settings) -> bool:
    statement = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %s)"
    return bool(read_row(settings, statement, (settings.postgres_schema,), command="db-init")[0])


def _create_schema(settings: Settings, name: str) -> bool:
    """Whether the schema was missing, and is there now."""
    if _has_schema(settings):
        return False
    try:
        with transaction(settings, command="db-init", commit=True) as cursor:
            cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
    except (psycopg2.errors.DuplicateSchema, psycopg2.errors.UniqueViolation):  # somebody else was quicker
        return False
    logger.info("schema created", extra={"action": "schema.created", "schema": name})
    return True


def _create_database(settings: Settings) -> bool:
    """Whether the database was missing, and is there now."""
    if not _is_missing(settings):
        return False
    name = settings.postgres_db
    connection = database.connect(
        settings.model_copy(update={"postgres_db": "postgres", "postgres_schema": None}), command="db-init"
    )
    connection.autocommit = True
    statement = sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0").format(sql.Identifier(name))
    try:
        with database.translate_errors(settings), connection.cursor() as cursor:
            cursor.execute(statement)
    except (psycopg2.errors.DuplicateDatabase, psycopg2.errors.UniqueViolation):  # somebody else was quicker
        return False
    finally:
        connection.close()
    logger.info("database created", extra={"action": "database.created", "database": name})
    return True


def main() -> int:
    """Exit code as `sesacctl db init` would give."""
    log.configure()
    try:
        initialize(settings_module.load())
    except SesacctlError as error:
        sys.stderr.write(f"error: {log.printable(str(error))}\nnext:  {error.hint}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
