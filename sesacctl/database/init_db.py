"""Makes the schema where there is none; `python -m sesacctl.database.init_db` does it for the configured `DB_TYPE`."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass

import psycopg2
from psycopg2 import sql

from sesacctl import log
from sesacctl import settings as settings_module
from sesacctl.database import adoption, database, schema, seed
from sesacctl.errors import DatabaseMissing, SesacctlError
from sesacctl.settings import DbType, Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Initialized:
    """What was done; `before` is the revision found, `adopted` the one that existing tables were taken over at."""

    server: str
    database: str
    created_database: bool
    before: str | None
    adopted: str | None
    revision: str
    seeded: seed.Seeded | None


def changes_existing(settings: Settings, *, wait_seconds: float | None = None) -> bool:
    """Whether `initialize` would change tables that are there already; waits for the server if asked to.

    Raises:
        SchemaNotAtHead: a newer sesacctl made the schema;
        ConfigurationError, ServerUnreachable, ServerRefused, and for a database that is not local DatabaseMissing.
    """
    schema.require_direct(settings)
    found = database.wait_until(lambda: _look(settings), seconds=wait_seconds) if wait_seconds else _look(settings)
    return found.has_tables and found.revision != schema.head()


def _look(settings: Settings) -> schema.State:
    try:
        return schema.look(settings)
    except DatabaseMissing:
        if settings.db_type is DbType.LOCAL:
            return schema.State(revision=None, has_tables=False)
        raise


def initialize(
    settings: Settings, *, with_seed: bool = False, on_progress: seed.Progress = seed.no_progress
) -> Initialized:
    """The schema at head: made, taken over from an older version, or brought up to date; nothing in it is lost.

    With `DB_TYPE=local` a missing database is made as well; `with_seed` adds sample rows where there are none.

    Raises:
        SchemaNotAtHead: existing tables equal no revision, or the schema is newer than this sesacctl;
        ConfigurationError, ServerUnreachable, ServerRefused, DatabaseMissing, CheckFailed.
    """
    schema.require_direct(settings)  # before anything is made
    created = settings.db_type is DbType.LOCAL and _create_database(settings)
    before = schema.look(settings).revision
    adopted = _adopt(settings) if before is None else None
    schema.upgrade(settings)
    logger.info("schema ready", extra={"action": "schema.ready", "revision": schema.head()})
    location = database.locate(settings)
    return Initialized(
        server=location.address,
        database=location.database,
        created_database=created,
        before=before,
        adopted=adopted,
        revision=schema.head(),
        seeded=seed.seed(settings, on_progress=on_progress) if with_seed and seed.is_empty(settings) else None,
    )


def _adopt(settings: Settings) -> str | None:
    engine = database.engine_for(settings, command="db-init", bound=schema.MIGRATION_SECONDS)
    try:
        with database.translated(settings), engine.begin() as connection:
            return adoption.adopt(connection)
    finally:
        engine.dispose()


def _create_database(settings: Settings) -> bool:
    """Whether the database was missing, and is there now."""
    try:
        database.connect(settings, command="db-init").close()
    except DatabaseMissing:
        name = settings.postgres_db
    else:
        return False
    connection = database.connect(settings.model_copy(update={"postgres_db": "postgres"}), command="db-init")
    connection.autocommit = True
    statement = sql.SQL("CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0").format(sql.Identifier(name))
    try:
        with database.translated(settings), connection.cursor() as cursor:
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
