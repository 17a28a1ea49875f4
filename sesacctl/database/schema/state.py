"""The state of a database before its schema is made or changed."""

from __future__ import annotations

from dataclasses import dataclass

from sesacctl.database.connections import transaction
from sesacctl.database.cursors import fetch_row
from sesacctl.database.schema import revisions, version_table
from sesacctl.database.schema.encoding import encoding_problem
from sesacctl.database.schema.strangers import require_room
from sesacctl.database.schema.times import columns_without_zone
from sesacctl.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A database's revision, None without one, and whether it has tables of sesacctl.

    `is_legacy`: the revision is still in `alembic_version`; `foreign_version`: what is in one of another program's.
    `without_zone`: columns whose times have no zone, which would be read in `server_zone`.
    """

    revision: str | None
    has_tables: bool
    is_legacy: bool = False
    foreign_version: str | None = None
    encoding_problem: str | None = None
    without_zone: tuple[str, ...] = ()
    server_zone: str = "UTC"


def look(settings: Settings) -> State:
    """The database's state.

    Raises:
        SchemaNotAtHead: a newer sesacctl made it;
        TablesNotOurs: something of another program is where its tables belong;
        ConfigurationError: a setting of the connection is missing or wrong.
        ServerUnreachable: PostgreSQL cannot be reached.
        ServerRefused: PostgreSQL refused: wrong credentials or a missing right.
        DatabaseMissing: the server has no such database.
    """
    with transaction(settings, command="db-check") as cursor:
        found = version_table.read(cursor)
        revisions.require_known(found.revision)
        require_room(cursor, found.revision, postgres_schema=settings.postgres_schema)
        cursor.execute(
            "SELECT count(to_regclass(quote_ident(current_schema()) || '.' || name)) > 0,"
            " current_setting('TimeZone')"
            " FROM unnest(ARRAY['users', 'products', 'orders']) AS name"
        )
        has_tables, server_zone = fetch_row(cursor)
        return State(
            revision=found.revision,
            has_tables=has_tables,
            is_legacy=found.is_legacy,
            foreign_version=found.foreign,
            encoding_problem=encoding_problem(cursor.connection),
            without_zone=columns_without_zone(cursor) if found.revision in (None, revisions.revisions()[0]) else (),
            server_zone=server_zone,
        )
