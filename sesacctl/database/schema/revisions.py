"""The schema's revisions, over Alembic.

Alembic and SQLAlchemy are imported only to migrate: every loop asks for the head when it starts, and they cost a
quarter of a second.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from psycopg2 import Error as PostgresError
from psycopg2 import errorcodes
from psycopg2.extensions import connection as RawConnection  # noqa: N812

from sesacctl.database import database, poolers
from sesacctl.database.connections import transaction
from sesacctl.database.schema import version_table
from sesacctl.database.schema.ddl_errors import refused_change
from sesacctl.errors import CheckFailed, ConfigurationError, SchemaNotAtHead
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import Script, ScriptDirectory
    from sqlalchemy import Connection

# Any number: what matters is that all migrations of this pipeline ask for the same lock.
ADVISORY_LOCK = 0x5E5AC
LOCK_SECONDS = 10.0
QUEUE_SECONDS = 300
MIGRATION_SECONDS = 3600.0

Action = Literal["upgrade", "downgrade"]
T = TypeVar("T")


def lock_statements(lock_seconds: float) -> tuple[str, ...]:
    """What a migration does first: wait for its turn, then allow `lock_seconds` for each table's lock."""
    return (
        f"SET LOCAL lock_timeout = '{QUEUE_SECONDS}s'",
        "SET LOCAL statement_timeout = 0",  # a role's own, as of Supabase, is for queries
        f"SELECT pg_advisory_xact_lock({ADVISORY_LOCK})",
        f"SET LOCAL lock_timeout = '{round(lock_seconds * 1000)}ms'",
    )


def migrations() -> Path:
    """The folder of the migrations: inside the package when installed, beside it in a checkout."""
    package = Path(__file__).resolve().parents[2]
    inside = package / "migrations"
    return inside if inside.is_dir() else package.parent / "migrations"


def config() -> Config:
    """Alembic's configuration, without a file."""
    from alembic.config import Config

    configuration = Config()
    configuration.set_main_option("script_location", str(migrations()).replace("%", "%%"))
    return configuration


def scripts() -> ScriptDirectory:
    """The revisions as Alembic sees them."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(config())


def steps(revision: str | None) -> list[Script]:
    """The revisions from `revision` to the newest, in the order in which they run."""
    return list(scripts().iterate_revisions("head", revision or "base"))[::-1]


@cache
def revisions() -> tuple[str, ...]:
    """All revisions of this sesacctl, oldest first: their files' names begin with them."""
    return tuple(sorted(path.name.partition("_")[0] for path in (migrations() / "versions").glob("[0-9]*_*.py")))


def head() -> str:
    """The newest revision of this sesacctl."""
    return revisions()[-1]


def current(target: Settings | RawConnection) -> str | None:
    """The database's revision; None if it has none."""
    if isinstance(target, Settings):
        with transaction(target, command="db-check") as cursor:
            return current(cursor.connection)
    with target.cursor() as cursor:
        return version_table.read(cursor).revision


def require_head(target: Settings | RawConnection) -> None:
    """Return only if the database is at the newest revision. On a connection, it leaves a transaction open.

    Raises:
        SchemaNotAtHead: it has no schema, is behind, or is ahead of this sesacctl.
    """
    require_revision(current(target))


def require_revision(found: str | None) -> None:
    """`require_head` for a revision that was read before."""
    if found is None:
        raise SchemaNotAtHead("The database has no sesacctl schema yet", hint="sesacctl db init")
    require_known(found)
    if found != head():
        raise SchemaNotAtHead(f"The database's schema is at revision {found}, behind {head()}")


def require_known(revision: str | None) -> None:
    """Return only if `revision` is one of this sesacctl's, or none at all.

    Raises:
        SchemaNotAtHead: a newer sesacctl made it.
    """
    if revision is not None and revision not in revisions():
        raise SchemaNotAtHead(
            f"The database's schema is at revision {revision}, newer than this sesacctl, which knows up to {head()}",
            hint=f"upgrade sesacctl, or run `sesacctl db downgrade {head()}` with the newer one",
        )


def upgrade(
    settings: Settings,
    revision: str = "head",
    *,
    lock_seconds: float = LOCK_SECONDS,
    timestamps_in: str | None = None,
) -> None:
    """Bring the schema up to `revision`, in one transaction; parallel calls wait for each other.

    `timestamps_in`: the time zone of times that have none, as in tables of the first version; None: the session's.

    Raises:
        ConfigurationError: a setting of the connection is missing or wrong.
        ServerUnreachable: PostgreSQL cannot be reached.
        ServerRefused: PostgreSQL refused: wrong credentials or a missing right.
        DatabaseMissing: the server has no such database.
        TablesNotOurs: something else has a name that is needed;
        CheckFailed: another session held a table's lock for longer than `lock_seconds`, a row does not fit, or
            something uses what is to be altered.
    """
    change(
        settings,
        lambda connection: run_on(
            connection, "upgrade", revision, lock_seconds=lock_seconds, timestamps_in=timestamps_in
        ),
    )


def downgrade(settings: Settings, revision: str, *, lock_seconds: float = LOCK_SECONDS) -> None:
    """Take the schema back to `revision` (`base` for none); errors as `upgrade`."""
    change(settings, lambda connection: run_on(connection, "downgrade", revision, lock_seconds=lock_seconds))


def require_direct(settings: Settings) -> None:
    """Return only if migrations can run: behind a transaction pooler their lock would not hold.

    Raises:
        ConfigurationError: names the direct address.
    """
    location = database.locate(settings)
    if not location.is_transaction_pooler:
        return poolers.require_sessions(settings)
    project = (location.user or "").partition(".")[2]
    host = f"db.{project}.supabase.co" if project else location.host
    raise ConfigurationError(
        f"Port {location.port} is a transaction pooler, which cannot run migrations",
        hint=f"set SUPABASE_DIRECT_URL to the direct address, {host}:5432",
    )


def change(settings: Settings, work: Callable[[Connection], T]) -> T:
    """What `work` returns, done on a connection in one transaction; errors as `upgrade`."""
    from sqlalchemy.exc import DBAPIError

    require_direct(settings)
    engine = database.engine_for(settings, command="db-migrate", bound=MIGRATION_SECONDS)
    try:
        with engine.begin() as connection:
            return work(connection)
    except (DBAPIError, PostgresError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        if not isinstance(cause, PostgresError) or (ours := refused_change(cause, settings)) is None:
            raise
        if cause.pgcode == errorcodes.LOCK_NOT_AVAILABLE and (holders := _lock_holders(settings)):
            raise CheckFailed(f"{ours}; locks are held by {holders}", hint=ours.hint) from error
        raise ours from error
    finally:
        engine.dispose()


def run_on(
    connection: Connection,
    action: Action,
    revision: str,
    *,
    lock_seconds: float = LOCK_SECONDS,
    timestamps_in: str | None = None,
) -> None:
    """Run one of Alembic's commands on a connection; inside its transaction, if it has one."""
    from alembic import command

    configuration = config()
    configuration.attributes.update(connection=connection, lock_seconds=lock_seconds, timestamps_in=timestamps_in)
    {"upgrade": command.upgrade, "downgrade": command.downgrade}[action](configuration, revision)


def _lock_holders(settings: Settings) -> str:
    """The sessions that hold locks on tables here, longest transaction first."""
    with transaction(settings, command="db-migrate") as cursor:
        cursor.execute(
            "SELECT DISTINCT a.pid, coalesce(nullif(a.application_name, ''), a.usename), a.state, a.xact_start"
            " FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = l.relation"
            " WHERE l.granted AND l.locktype = 'relation' AND c.relkind = 'r' AND a.pid <> pg_backend_pid()"
            " AND c.relnamespace = current_schema()::regnamespace ORDER BY a.xact_start"
        )
        return ", ".join(f"{name} (process {pid}, {state})" for pid, name, state, _ in cursor.fetchall())
