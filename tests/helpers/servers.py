"""Real servers for tests: one stack for a run, a slice of it for a test, and servers that a test may kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sesacctl import settings as settings_module
from sesacctl.database.schema import revisions
from sesacctl.settings import Settings
from sesacctl.stack import ports, stack
from sesacctl.stack.kafka import Kafka
from sesacctl.stack.layout import Layout, State
from sesacctl.stack.postgres import DATABASE, PORT, USER, Postgres
from sesacctl.stack.process import Program
from sesacctl.stack.valkey import Valkey
from sesacctl.testing.database import Database, hurry
from sesacctl.testing.loop import Part, part_of
from sesacctl.testing.topics import close_admin
from tests.helpers.waiting import wait_until

VARIABLES = tuple(name.upper() for name in Settings.model_fields)
"""Every environment variable that sesacctl reads."""
INHERITED: tuple[str, ...] = (
    *("PATH", "HOME", "TMPDIR", "XDG_CACHE_HOME", "VIRTUAL_ENV"),
    *("HTTPS_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE"),  # the first `up` on a machine downloads Kafka's jars
)
NOWHERE = {
    "POSTGRES_HOST": "127.0.0.1",
    "POSTGRES_PORT": "1",
    "REDIS_HOST": "127.0.0.1",
    "REDIS_PORT": "1",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
}
"""Servers that are not there."""


def at_port(server: str, port: str) -> dict[str, str]:
    """The variables with which PostgreSQL, Redis or Kafka is looked for at a port of this machine."""
    return {
        "PostgreSQL": {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": port},
        "Redis": {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": port},
        "Kafka": {"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}"},
    }[server]


def clean_environment(**values: str) -> dict[str, str]:
    """This process's environment without anything that sesacctl reads, and with `values`."""
    kept = {name: os.environ[name] for name in INHERITED if name in os.environ}
    return {**kept, "LC_ALL": "C.UTF-8", "NO_COLOR": "1", "COLUMNS": "200", **values}


def run_sesacctl(
    *arguments: object, env: Mapping[str, str], cwd: Path, timeout: float = 60.0, input: str | None = None
) -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "sesacctl", *map(str, arguments)],
        env=dict(env),
        cwd=cwd,
        timeout=timeout,
        capture_output=True,
        text=True,
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        check=False,
    )


class RunningStack:
    """A stack that runs in `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environment = stack.environment(home)

    def pid(self, server: str) -> int:
        """Of `postgres`, `valkey`, `kafka-1` …; an AssertionError when it does not run."""
        process = self._program(server).find()
        assert process is not None, f"{server} does not run"
        return int(process.pid)

    def kill(self, server: str, how: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal; after SIGKILL, return when the process is gone."""
        process = self._program(server).find()
        assert process is not None, f"{server} does not run"
        process.send_signal(how)
        if how is signal.SIGKILL:
            wait_gone(process)

    def up(self) -> None:
        """Start again what was killed."""
        self.close()
        up(self.home)
        self.environment = stack.environment(self.home)

    def _program(self, server: str) -> Program:
        return {program.name: program for program in self._programs()}[server]

    def _programs(self) -> list[Program]:
        layout = Layout(self.home)
        state = layout.load()
        return [Postgres(layout, state).program, Valkey(layout, state).program, *Kafka(layout, state).programs]

    @contextmanager
    def slice(self) -> Iterator[Part]:
        """A migrated, empty part of it for one test, cleaned afterwards."""
        with part_of(self.home) as part:
            try:
                yield part
            finally:
                self.complete()

    def close(self) -> None:
        """Disconnect; the stack runs on."""
        close_admin(self.environment["KAFKA_BOOTSTRAP_SERVERS"])

    def complete(self) -> None:
        """A test that killed a server need not start it again."""
        if any(program.find() is None for program in self._programs()):
            self.up()


def up(home: Path) -> RunningStack:
    """Start a stack in `home`, or what is missing of it."""
    home.parent.mkdir(parents=True, exist_ok=True)
    done = run_sesacctl("up", env=clean_environment(SESAC_HOME=str(home)), cwd=home.parent, timeout=300)
    assert done.returncode == 0, done.stderr
    running = RunningStack(home)
    hurry(Database(DATABASE, running.environment["POSTGRES_HOST"]))
    return running


def down(home: Path) -> None:
    """Stop a stack and delete its data."""
    environment = clean_environment(SESAC_HOME=str(home))
    done = run_sesacctl("down", "--purge", "--yes", env=environment, cwd=home.parent, timeout=120)
    assert done.returncode == 0, done.stderr


def wait_gone(process: Any) -> None:
    """Return when a killed process is gone, or only its exit status is left."""
    wait_until(lambda: not process.is_running() or process.status() == "zombie", message=f"{process} is still there")


class PrivateServer:
    """One PostgreSQL or Valkey of a test's own, that it may kill, stop and start again."""

    def __init__(self, server: Postgres | Valkey, environment: dict[str, str]) -> None:
        self._server = server
        self.environment = environment

    def over(self, settings: Settings) -> Settings:
        """`settings`, with this server in place of the shared one."""
        return settings_module.load(
            **{
                **settings.model_dump(exclude_none=True),
                **{name.lower(): value for name, value in self.environment.items()},
            }
        )

    @property
    def pid(self) -> int:
        """Of the running server."""
        process = self._server.program.find()
        assert process is not None, "the server does not run"
        return int(process.pid)

    def start(self) -> None:
        """Start it; it answers when this returns."""
        self._server.start(threading.Event())

    def stop(self) -> None:
        """End it in order."""
        self._server.stop()

    def kill(self) -> None:
        """End it with SIGKILL."""
        process = self._server.program.find()
        assert process is not None, "the server does not run"
        process.kill()
        wait_gone(process)

    def suspend(self) -> None:
        """SIGSTOP: it keeps its connections and says nothing any more."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)


@contextmanager
def private_valkey(home: Path) -> Iterator[PrivateServer]:
    """An empty Valkey on a port of its own."""
    layout = Layout(home)
    layout.create()
    [port] = ports.choose(1)
    environment = {"REDIS_HOST": ports.HOST, "REDIS_PORT": str(port), "REDIS_DB": "0"}
    with _private(PrivateServer(Valkey(layout, State(valkey_port=port)), environment)) as server:
        yield server


@contextmanager
def private_postgres(home: Path) -> Iterator[PrivateServer]:
    """A PostgreSQL with a migrated, empty database."""
    layout = Layout(home)
    layout.create()
    server = Postgres(layout, State())
    environment = {
        "DB_TYPE": "local",
        "POSTGRES_HOST": str(server.socket_folder),
        "POSTGRES_PORT": str(PORT),
        "POSTGRES_USER": USER,
        "POSTGRES_DB": DATABASE,
    }
    with _private(PrivateServer(server, environment)) as private:
        revisions.upgrade(Part(environment).settings)
        yield private


@contextmanager
def _private(server: PrivateServer) -> Iterator[PrivateServer]:
    try:
        server.start()
        yield server
    finally:
        with suppress(AssertionError):  # a test may leave it suspended, or killed
            server.resume()
        server.stop()
