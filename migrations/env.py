"""Runs the migrations: on the connection that `sesacctl.database.schema` hands over, else on one of its own."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection, text

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
    elif (connection := context.config.attributes.get("connection")) is not None:
        _online(connection)
    else:
        loaded = settings.load()
        engine = database.engine_for(loaded, command="alembic", bound=schema.MIGRATION_SECONDS)
        with engine.connect() as connection:
            _online(connection)


_run()
