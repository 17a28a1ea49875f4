"""The whole loop for a test: its own part of all three servers, and the command line pointed to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sesacctl import settings as settings_module
from sesacctl.database.schema import revisions
from sesacctl.settings import Settings
from sesacctl.stack import stack
from sesacctl.stack.postgres import DATABASE
from sesacctl.testing.database import Database, copy_database, make_template
from sesacctl.testing.keys import KeyDatabase, next_database
from sesacctl.testing.topics import delete_topics

_RUN_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Part:
    """A test's own part of running servers: database, Redis database, topics and consumer group, as variables."""

    environment: dict[str, str]

    @property
    def settings(self) -> Settings:
        """The same as an object."""
        return settings_module.load(**{name.lower(): value for name, value in self.environment.items()})


@contextmanager
def part_of(home: Path) -> Iterator[Part]:
    """A migrated, empty part of the stack that runs in `home`, cleaned at the end."""
    shared = stack.environment(home)
    server = Database(DATABASE, shared["POSTGRES_HOST"])

    def migrate(database: Database) -> None:
        revisions.upgrade(Part({**shared, "POSTGRES_DB": database.name}).settings)

    template = make_template(server, home, f"template_{revisions.head()}".lower(), migrate)
    first = KeyDatabase(shared["REDIS_HOST"], int(shared["REDIS_PORT"]), 0)
    with next_database(first) as keys, copy_database(server, template) as database:
        prefix = f"{database.name}-"
        own = {
            "POSTGRES_DB": database.name,
            "REDIS_DB": str(keys.number),
            "KAFKA_TOPIC_PREFIX": prefix,
            "KAFKA_GROUP": f"{prefix}group",
        }
        try:
            yield Part({**shared, **own})
        finally:
            delete_topics(shared["KAFKA_BOOTSTRAP_SERVERS"], prefix)


class Loop:
    """A test's own loop: `sesacctl` on its part of the servers, in an empty folder."""

    def __init__(self, part: Part, folder: Path, mark: Path) -> None:
        self.settings = part.settings
        self.environment = part.environment
        self._folder = folder
        path = f"{os.environ.get('PATH', os.defpath)}{os.pathsep}{mark}"  # so that the run's guardian finds them
        self._environment = {**os.environ, **part.environment, "SESAC_HOME": str(folder / ".sesac"), "PATH": path}
        self._started: list[subprocess.Popen[str]] = []

    def run(
        self, *arguments: object, timeout: float = _RUN_SECONDS, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """A command to its end, as `loop.run("consume", "--until-empty")`; keywords are further variables."""
        return subprocess.run(
            self._command(arguments),
            env={**self._environment, **environment},
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        """Start a command and return; it is killed at the end of the test if it still runs."""
        process = subprocess.Popen(
            self._command(arguments),
            env={**self._environment, **environment},
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def close(self) -> None:
        """End what `start` has started."""
        for process in self._started:
            process.kill()
            process.communicate()

    def _command(self, arguments: tuple[object, ...]) -> list[str]:
        return [sys.executable, "-m", "sesacctl", *map(str, arguments)]
