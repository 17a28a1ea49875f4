"""Servers of the benchmark's own, with fsync on, thrown away at the end: the whole stack, or PostgreSQL and Valkey."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from sesacctl import settings as settings_module
from sesacctl.settings import Settings
from sesacctl.stack import ports, stack
from sesacctl.stack.layout import Layout
from sesacctl.stack.postgres import Postgres
from sesacctl.stack.valkey import Valkey


@dataclass(frozen=True)
class Servers:
    """Where the two are; `log` is PostgreSQL's."""

    socket_folder: Path
    valkey_port: int
    log: Path

    def settings(self, database: str, redis_db: int = 0) -> Settings:
        """Settings for a database on them."""
        return Settings(
            postgres_host=str(self.socket_folder),
            postgres_db=database,
            redis_url=f"redis://{ports.HOST}:{self.valkey_port}/{redis_db}",
        )

    @contextmanager
    def cursor(self, database: str = "postgres", *, autocommit: bool = True) -> Iterator[Any]:
        """A psycopg2 cursor on a connection of its own."""
        connection = psycopg2.connect(host=str(self.socket_folder), user="postgres", dbname=database)
        connection.autocommit = autocommit
        try:
            with connection.cursor() as cursor:
                yield cursor
        finally:
            connection.close()


@contextmanager
def local_stack() -> Iterator[tuple[Settings, Path]]:
    """A whole stack: its settings, which are in the environment meanwhile, and its folder."""
    home, before = Path(tempfile.mkdtemp(prefix="sesacctl-benchmark-")), dict(os.environ)
    try:
        environment = stack.up(home).environment
        os.environ.update(environment, SESAC_HOME=str(home))
        yield settings_module.load(**{name.lower(): value for name, value in environment.items()}), home
    finally:
        os.environ.clear()
        os.environ.update(before)
        stack.down(home, purge=True)
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def servers() -> Iterator[Servers]:
    """Start both, stop both, delete what they wrote."""
    layout = Layout(Path(tempfile.mkdtemp(prefix="sesacctl-benchmark-")))
    layout.create()
    state = layout.load()
    [state.valkey_port] = ports.choose(1)
    postgres, valkey = Postgres(layout, state), Valkey(layout, state)
    layout.save(state)
    try:
        postgres.start(threading.Event())
        valkey.start(threading.Event())
        yield Servers(postgres.socket_folder, valkey.port, postgres.program.log)
    finally:
        valkey.stop()
        postgres.stop()
        shutil.rmtree(layout.home)
