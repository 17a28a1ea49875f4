"""Where a storm takes place: servers behind proxies, a database, topics and a group, and the loop's commands."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import psycopg2
from redis import Redis

from sesacctl.drill.children import Child, Exit, Keeper
from sesacctl.stack.control import POSTGRES, VALKEY
from sesacctl.stack.postgres import PORT as POSTGRES_PORT
from tests.faults.children import bare_environment
from tests.faults.stack_control import OwnStack
from tests.faults.tmpfs import SmallDisk, why_not
from tests.helpers.proxy import Proxy, tcp, unix

ORDERS, USERS, PRODUCTS = "orders", "users", "products"
REFRESH_SECONDS = 3
_COMMAND_SECONDS = 300.0
_REDIS_DATABASES = 16
_HOST_OF = {"producer": 0, "supervisor": 1, "second": 2}  # each with a broker; the cache worker is with the servers


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """The way to the servers past all proxies (brokers tell every client to come through theirs)."""

    postgres: Mapping[str, Any]
    redis_port: int
    redis_db: int
    brokers: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How much runs: instances of the first supervisor, orders per second, hostile messages among them (a share).

    Without a `primary_key`, orders that are stored twice are there twice: the key cannot hide it.
    """

    instances: int = 9
    rate: float = 400.0
    hostile: float = 0.01
    users: int = 3000
    products: int = 2000
    primary_key: bool = True


@dataclass(slots=True)
class Timeline:
    """What happened when, as JSON lines; `seconds` are since it began."""

    path: Path
    began: float = field(default_factory=time.time)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, **values: Any) -> None:
        """Write a line."""
        now = time.time()
        line = {"at": datetime.fromtimestamp(now, UTC).isoformat(), "seconds": round(now - self.began, 3), **values}
        with self._lock, self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=str) + "\n")


class Site:
    """The loop on a part of some servers; `own` are those that belong to the storm alone, None on shared ones."""

    def __init__(
        self, *, folder: Path, environment: Mapping[str, str], address: Address, proxies: dict[str, Proxy], load: Load,
        own: OwnStack | None = None,
    ) -> None:  # fmt: skip
        self.folder, self.address, self.proxies, self.load, self.own = folder, address, proxies, load, own
        self.hosts = own.hosts if own is not None else None
        self.environment = bare_environment({**environment, "SESAC_HOME": str(folder / "home")})
        self.prefix, self.group = environment.get("KAFKA_TOPIC_PREFIX", ""), environment["KAFKA_GROUP"]
        self.timeline = Timeline(folder / "timeline.jsonl")
        self.exits: list[Exit] = []
        self.was_set_back = False
        self.parents: tuple[list[str], list[str]] | None = None
        self.keeper = Keeper(self._on_exit)
        self.disk: SmallDisk | None = None
        self.ledger = folder / "ledger" / "ledger.jsonl"
        self.ledger.parent.mkdir(parents=True, exist_ok=True)
        if own is not None and not why_not():
            self.disk = SmallDisk(self.ledger.parent)
            self.disk.mount()
        produce = ("produce", "--rate", load.rate, "--ledger", self.ledger, "--new-users", 5, "--new-products", 3)
        consume = ("consume", "--wait", "--timeout", "2m", "--instances")
        self.children = {
            "refresher": self._child("refresher", "cache", "refresh", "--loop", REFRESH_SECONDS, "-o", "jsonl"),
            "producer": self._child("producer", *produce, "-o", "jsonl"),
            "supervisor": self._child("supervisor", *consume, load.instances, "-o", "jsonl"),
            "second": self._child("second", *consume, 3, "-o", "jsonl"),
        }
        if self.hosts is not None:
            for name, number in _HOST_OF.items():
                self.children[name].place = partial(self.hosts.within, number)

    def topic(self, kind: str) -> str:
        """Its name in Kafka."""
        return f"{self.prefix}{kind}"

    def connect(self) -> Any:
        """A connection to PostgreSQL past the proxy, in autocommit mode."""
        connection = psycopg2.connect(**self.address.postgres, connect_timeout=5, application_name="storm")
        connection.autocommit = True
        return connection

    def query(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """The rows of a statement."""
        connection = self.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()

    def stored(self, kind: str) -> dict[int, int]:
        """The next offset of each partition, by PostgreSQL."""
        statement = "SELECT partition, next_offset FROM sink_offsets WHERE consumer_group = %s AND topic = %s"
        return dict(self.query(statement, self.group, self.topic(kind)))

    def redis(self) -> Redis:
        """A client past the proxy."""
        return Redis(
            host="127.0.0.1", port=self.address.redis_port, db=self.address.redis_db, socket_timeout=2,
            socket_connect_timeout=2,
        )  # fmt: skip

    def command(self, *arguments: object, seconds: float = _COMMAND_SECONDS) -> subprocess.CompletedProcess[str]:
        """A command that ends by itself."""
        return subprocess.run(
            [sys.executable, "-m", "sesacctl", *map(str, arguments)],
            env=self.environment,
            cwd=self.folder,
            timeout=seconds,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def must(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        """The same, which has to work."""
        done = self.command(*arguments)
        assert done.returncode == 0, f"sesacctl {' '.join(map(str, arguments))}: {done.stderr}"
        return done

    def prepare(self) -> None:
        """Tables, rows, topics and a full cache."""
        self.must("db", "init")
        self.must("db", "seed", "--users", self.load.users, "--products", self.load.products)
        if not self.load.primary_key:
            self.query("ALTER TABLE orders DROP CONSTRAINT orders_pkey")
        self.must("topics", "init")
        self.must("cache", "refresh")

    def start(self) -> None:
        """Start the loop as a user would: each command by itself."""
        for name in ("refresher", "producer", "supervisor"):
            self.keeper.add(self.children[name])

    def close(self) -> None:
        """End the loop at once; the proxies of servers that are others' as well."""
        self.keeper.close()
        if self.disk is not None:
            kept = self.ledger.read_bytes() if self.ledger.exists() else b""
            self.disk.unmount()
            self.ledger.write_bytes(kept)
        if self.own is None:
            for proxy in self.proxies.values():
                proxy.close()

    def _child(self, name: str, *arguments: object) -> Child:
        return Child(name, arguments, self.environment, self.folder)

    def _on_exit(self, ended: Exit) -> None:
        self.exits.append(ended)
        self.timeline.note(
            exit=ended.name, code=ended.code, lived=round(ended.lived_seconds, 1), asked=ended.asked,
            **({} if ended.asked else {"last_words": ended.last_words}),
        )  # fmt: skip


def on_own_stack(folder: Path, own: OwnStack, load: Load, part: int = 0) -> Site:
    """A site on servers of the storm's own, which are up; each `part` has a database, topics and a group of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    database = f"part{part}" if part else "sesac_db"
    address = Address(
        postgres={"host": own.postgres_folder, "user": "postgres", "dbname": database},
        redis_port=own.valkey_port,
        redis_db=part % _REDIS_DATABASES,  # a part begins when those before it have ended
        brokers=own.brokers,
    )
    environment = _through(own.proxies, address) | {"KAFKA_GROUP": f"storm{part or ''}"}
    if own.hosts is not None:
        server = own.hosts.server
        environment |= {"POSTGRES_HOST": server, "POSTGRES_PORT": str(POSTGRES_PORT), "REDIS_HOST": server}
    if part:
        environment["KAFKA_TOPIC_PREFIX"] = f"{database}-"
        own.create_database(database)
    return Site(folder=folder, environment=environment, address=address, proxies=own.proxies, load=load, own=own)


def on_shared_stack(folder: Path, given: Mapping[str, str], load: Load) -> Site:
    """A site on a part of a stack that others use as well: `given` are its variables, the database is migrated."""
    address = Address(
        postgres={"host": given["POSTGRES_HOST"], "user": given["POSTGRES_USER"], "dbname": given["POSTGRES_DB"]},
        redis_port=int(given["REDIS_PORT"]),
        redis_db=int(given["REDIS_DB"]),
        brokers=given["KAFKA_BOOTSTRAP_SERVERS"],
    )
    socket_file = f"{given['POSTGRES_HOST']}/.s.PGSQL.{given['POSTGRES_PORT']}"
    proxies = {POSTGRES: Proxy(unix(socket_file)), VALKEY: Proxy(tcp(address.redis_port))}
    own = {name: given[name] for name in ("KAFKA_GROUP", "KAFKA_TOPIC_PREFIX")}
    environment = _through(proxies, address) | own
    return Site(folder=folder, environment=environment, address=address, proxies=proxies, load=load)


def _through(proxies: Mapping[str, Proxy], address: Address) -> dict[str, str]:
    return {
        "DB_TYPE": "local",
        "POSTGRES_HOST": "127.0.0.1",
        "POSTGRES_PORT": str(proxies[POSTGRES].port),
        "POSTGRES_USER": str(address.postgres["user"]),
        "POSTGRES_DB": str(address.postgres["dbname"]),
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(proxies[VALKEY].port),
        "REDIS_DB": str(address.redis_db),
        "KAFKA_BOOTSTRAP_SERVERS": address.brokers,
    }
