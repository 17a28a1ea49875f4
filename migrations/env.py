"""Runs the migrations: on the connection or engine that the caller hands over, else on the settings' database."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, Engine, text

from sesacctl import settings
from sesacctl.database import database, schema
from sesacctl.database.models import Base


def _online(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata)
    with context.begin_transaction():
        # Inside begin_transaction(): taken earlier, the lock's own transaction would swallow the migrations.
        for statement in schema.lock_statements(context.config.attributes.get("lock_seconds", schema.LOCK_SECONDS)):
            connection.execute(text(statement))
        context.run_migrations()


def _offline() -> None:
    context.configure(dialect_name="postgresql", literal_binds=True, target_metadata=Base.metadata)
    with context.begin_transaction():
        for statement in schema.lock_statements(schema.LOCK_SECONDS):
            context.execute(statement)
        context.run_migrations()


def _run() -> None:
    if context.is_offline_mode():
        _offline()
        return
    place: Connection | Engine | None = context.config.attributes.get("connection")
    if place is None:
        place = database.engine_for(settings.load(), command="alembic", bound=schema.MIGRATION_SECONDS)
    if isinstance(place, Connection):
        _online(place)
        return
    with place.connect() as connection:
        _online(connection)


_run()
