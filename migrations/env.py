"""Runs the migrations: on the connection or engine that the caller hands over, else on the settings' database."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, Engine, text

from sesacctl import settings
from sesacctl.database import database
from sesacctl.database.models import Base
from sesacctl.database.schema import revisions
from sesacctl.database.schema.version_table import TAKE_OVER, VERSION_TABLE, read


def _online(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, version_table=VERSION_TABLE)
    with context.begin_transaction():
        # Inside begin_transaction(): taken earlier, the lock's own transaction would swallow the migrations.
        for statement in revisions.lock_statements(
            context.config.attributes.get("lock_seconds", revisions.LOCK_SECONDS)
        ):
            connection.execute(text(statement))
        _take_over(connection)
        context.run_migrations()


def _take_over(connection: Connection) -> None:
    """Our `alembic_version` becomes `sesacctl_version` in the transaction of the migrations."""
    raw = connection.connection.driver_connection
    if raw is not None and read(raw.cursor()).is_legacy:
        for statement in TAKE_OVER:
            connection.execute(text(statement))


def _offline() -> None:
    context.configure(
        dialect_name="postgresql", literal_binds=True, target_metadata=Base.metadata, version_table=VERSION_TABLE
    )
    with context.begin_transaction():
        for statement in revisions.lock_statements(revisions.LOCK_SECONDS):
            context.execute(statement)
        for statement in TAKE_OVER if context.config.attributes.get("is_legacy") else ():
            context.execute(statement)
        context.run_migrations()


def _run() -> None:
    if context.is_offline_mode():
        _offline()
        return
    place: Connection | Engine | None = context.config.attributes.get("connection")
    if place is None:
        place = database.engine_for(settings.load(), command="alembic", bound=revisions.MIGRATION_SECONDS)
    if isinstance(place, Connection):
        _online(place)
        return
    with place.connect() as connection:
        _online(connection)


_run()
