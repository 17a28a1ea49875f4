"""A PostgreSQL for tests, and a database of its own for each of them."""

from __future__ import annotations

import signal
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sesacctl.stack.filelock import file_lock
from sesacctl.stack.layout import Layout
from sesacctl.stack.postgres import DATABASE, PORT, USER, Postgres
from sesacctl.testing.run import Run
from sesacctl.testing.server import ServerProcess

POSTGRES = ("PostgreSQL",)
Prepare = Callable[["Database"], object]


@dataclass(frozen=True, slots=True)
class Database:
    """Where a database is: a Unix socket's folder as `host`, which libpq, psycopg, asyncpg and SQLAlchemy take."""

    name: str
    host: str
    port: int = PORT
    user: str = USER

    @property
    def url(self) -> str:
        """`postgresql://…`; asyncpg takes it as `dsn`."""
        return f"postgresql://{self.user}@/{self.name}?host={quote(self.host, safe='')}&port={self.port}"

    @property
    def parameters(self) -> dict[str, Any]:
        """Host, port, user and `database`: keywords of psycopg2.connect and asyncpg.connect."""
        return {"host": self.host, "port": self.port, "user": self.user, "database": self.name}


class PostgresServer:
    """The server of a run; it runs again when the test that stopped it is over.

    It writes nothing to the disk before it answers: what is committed outlives its own death, and no power cut.
    """

    def __init__(self, run: Run) -> None:
        run.start(POSTGRES)
        layout = Layout(run.home)
        self._folder = run.folder
        self._server = Postgres(layout, layout.load())
        self._announce = run.break_servers
        self._process = ServerProcess(self._server.program, run.break_servers)
        hurry(self.database())

    def database(self, name: str = DATABASE) -> Database:
        """One of its databases."""
        return Database(name, str(self._server.socket_folder))

    @property
    def pid(self) -> int:
        """Of the postmaster."""
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL the postmaster; returns when it is gone."""
        self._process.kill()

    def stop(self) -> None:
        """End it in order, without waiting for its clients."""
        self._process.stop(signal.SIGINT)

    def restart(self) -> None:
        """End it in order, if it runs, and start it; it answers when this returns.

        Raises:
            ServerNotStarted: it ended, or does not answer.
        """
        self._process.stop(signal.SIGINT)
        self._server.start(threading.Event())

    def terminate_backends(self, database: Database | None = None) -> int:
        """End all sessions, or those of one database; returns how many there were."""
        of_it = "" if database is None else f" AND datname = '{database.name}'"
        if database is None:
            self._announce()
        found = execute(
            self.database(),
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
            f" WHERE backend_type = 'client backend' AND pid <> pg_backend_pid(){of_it}",
        )
        return int(found[0][0])

    @contextmanager
    def copy(self, prepare: Prepare) -> Iterator[Database]:
        """A copy of a database that `prepare` has filled, once in a run; dropped at the end with all sessions in it."""
        template = make_template(self.database(), self._folder, "sesac_template", prepare)
        with copy_database(self.database(), template) as own:
            yield own


@contextmanager
def copy_database(server: Database, template: str) -> Iterator[Database]:
    """A copy of `template` on the same server, dropped at the end with all sessions in it."""
    name = f"t{uuid.uuid4().hex[:12]}"
    execute(server, f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    try:
        yield replace(server, name=name)
    finally:
        execute(server, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def make_template(server: Database, folder: Path, name: str, prepare: Prepare) -> str:
    """A database to copy from, filled by `prepare` the first time; `folder` holds its lock."""
    with file_lock(folder / f"{name}.lock", on_wait=lambda: None):
        if not execute(server, f"SELECT 1 FROM pg_database WHERE datname = '{name}'"):
            unfinished = f"{name}_new"
            execute(server, f"DROP DATABASE IF EXISTS {unfinished}")
            execute(server, f"CREATE DATABASE {unfinished}")
            prepare(replace(server, name=unfinished))
            execute(server, f"ALTER DATABASE {unfinished} RENAME TO {name}")
    return name


def hurry(server: Database) -> None:
    """No test cuts the power: what PostgreSQL has written need not be on a disk, only out of its own hands."""
    for setting in ("fsync", "full_page_writes"):
        execute(server, f"ALTER SYSTEM SET {setting} = off")
    execute(server, "SELECT pg_reload_conf()")


def execute(database: Database, statement: str) -> list[Any]:
    """One statement outside of a transaction; its rows."""
    import psycopg2

    connection = psycopg2.connect(**database.parameters, connect_timeout=5, application_name="sesacctl testing")
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()
