"""A backup of sesacctl's tables by pg_dump: one consistent snapshot of rows and offsets, in its custom format."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg2.extensions import make_dsn

from sesacctl import files
from sesacctl.database import client_programs, row_security
from sesacctl.database.connections import CONNECT_SECONDS, SOCKET, transaction
from sesacctl.database.cursors import fetch_row
from sesacctl.database.location import Location, locate
from sesacctl.database.schema import revisions
from sesacctl.errors import CheckFailed, ConfigurationError, ServerUnreachable
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions

TABLES = row_security.TABLES
_LOOK_SECONDS = 0.5
_SECRET = ("password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key")
_LOST = ("could not connect", "connection to server", "server closed the connection", "terminating connection")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dumped:
    """The file, its size, and what it is of; `program` has made it."""

    file: str
    bytes: int
    database: str
    server: str
    server_version: int
    revision: str
    program: str


def dump(settings: Settings, path: Path, *, on_bytes: Callable[[int], None] = lambda _bytes: None) -> Dumped:
    """Write the tables to a file that only its owner can read, whole or not at all.

    Raises:
        ConfigurationError: the file cannot be written, or no pg_dump fits the server.
        CheckFailed: pg_dump failed.
        ServerUnreachable: PostgreSQL cannot be reached.
        ServerRefused: PostgreSQL refused: wrong credentials or a missing right.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    revisions.require_direct(settings)
    location = locate(settings)
    with transaction(settings, command="db-dump") as cursor:
        revisions.require_head(cursor.connection)
        row_security.require_visible(cursor)
        version = server_version(cursor)
        tables = _tables(cursor)
    program = client_programs.find("pg_dump", at_least=version, location=location)
    arguments = [
        *(str(program), "--format=custom", "--no-password", "--lock-wait-timeout=10s", "--load-via-partition-root"),
        *(f"--table={table}" for table in tables),
        f"--dbname={_dsn(location)}",
    ]
    try:
        with files.replacing(path, mode=0o600) as file:
            _run(arguments, file.fileno(), location, on_bytes)
            os.fsync(file.fileno())
        size = path.stat().st_size
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}", hint="another file") from None
    return Dumped(
        file=str(path),
        bytes=size,
        database=location.database,
        server=location.address,
        server_version=version,
        revision=revisions.head(),
        program=str(program),
    )


def server_version(cursor: extensions.cursor) -> int:
    """The server's major version."""
    cursor.execute("SELECT current_setting('server_version_num')::integer / 10000")
    return int(fetch_row(cursor)[0])


def _tables(cursor: extensions.cursor) -> list[str]:
    """The tables and their partitions, quoted as pg_dump's patterns are."""
    quoted = " || '.' || ".join(f"""'"' || replace({name}, '"', '""') || '"'""" for name in ("nspname", "relname"))
    cursor.execute(
        f"SELECT {quoted} FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE c.oid IN (SELECT to_regclass(name) FROM unnest(%s::text[]) AS name UNION"
        " SELECT relid FROM unnest(%s::text[]) AS name, pg_partition_tree(to_regclass(name))) ORDER BY 1",
        (list(TABLES), list(TABLES)),
    )
    return [row[0] for row in cursor.fetchall()]


def _dsn(location: Location) -> str:
    """Everything but the password: what is on a command line, all users of the machine can read."""
    parameters = {name: value for name, value in location.parameters.items() if value is not None}
    if hidden := [name for name in _SECRET[1:] if name in parameters]:
        raise ConfigurationError(
            f"{hidden[0]} cannot be handed on to pg_dump in secret",
            hint="take it out of the URL, then the same command again",
        )
    parameters.pop("password", None)
    ours: dict[str, Any] = {**SOCKET, "connect_timeout": CONNECT_SECONDS, "application_name": "sesacctl/db-dump"}
    return str(make_dsn(None, **{**parameters, **ours}))


def _environment(location: Location) -> Mapping[str, str]:
    password = {"PGPASSWORD": location.password} if location.password else {}
    return {**os.environ, **password, "LC_MESSAGES": "C"}


def _run(arguments: list[str], output: int, location: Location, on_bytes: Callable[[int], None]) -> None:
    with subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=_environment(location),
    ) as process:
        try:
            said = _wait(process, lambda: on_bytes(os.fstat(output).st_size))
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        text = " ".join(said.split()) or f"exit code {process.returncode}"
        if any(words in text for words in _LOST):
            raise ServerUnreachable(f"PostgreSQL at {location.address} was lost: {text}", hint="sesacctl health")
        raise CheckFailed(f"pg_dump failed: {text}", hint="sesacctl db check")


def _wait(process: subprocess.Popen[str], on_look: Callable[[], None]) -> str:
    """What it has said on its standard error."""
    while True:
        try:
            return process.communicate(timeout=_LOOK_SECONDS)[1]
        except subprocess.TimeoutExpired:
            on_look()
