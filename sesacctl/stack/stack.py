"""The local stack as a whole: `up`, `down`, `status`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sesacctl.errors import CheckFailed, ConfigurationError, ServerNotStarted, ServerUnreachable, UsageError
from sesacctl.stack import kafka, ports, postgres, valkey
from sesacctl.stack.cluster import members
from sesacctl.stack.filelock import file_lock
from sesacctl.stack.kafka import Kafka
from sesacctl.stack.layout import Layout, State
from sesacctl.stack.postgres import Postgres
from sesacctl.stack.process import Program, require
from sesacctl.stack.valkey import Valkey

log = logging.getLogger(__name__)

OnStep = Callable[[str], None]
_PORT_SECONDS = 2.0
SERVERS = (postgres.NAME, valkey.NAME, *(f"kafka-{number}" for number in kafka.BROKERS))


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """One server: `state` is `running`, `silent` (its process is there and does not answer) or `down`."""

    server: str
    pid: int | None
    address: str
    state: str
    version: str | None
    memory_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class UpResult:
    """`started`: the servers that were not running before."""

    home: str
    started: list[str]
    seconds: float
    environment: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class DownResult:
    """`stopped`: the servers that were running."""

    home: str
    stopped: list[str]
    purged: bool


class _Stack:
    """The servers of one folder."""

    def __init__(self, layout: Layout, state: State) -> None:
        self.postgres = Postgres(layout, state)
        self.valkey = Valkey(layout, state)
        self.kafka = Kafka(layout, state)

    @property
    def programs(self) -> list[Program]:
        return [self.postgres.program, self.valkey.program, *self.kafka.programs]


def up(home: Path, *, on_step: OnStep = log.info) -> UpResult:
    """Start what does not run, and wait until everything answers; a second call only checks.

    Raises:
        ConfigurationError: the folder cannot be used, or the servers are not installed.
        ServerNotStarted: one did not start. What ran before still runs.
    """
    begin = time.monotonic()
    layout = Layout(home)
    with layout.own(on_wait=lambda: on_step("another command works on this stack: waiting")):
        try:
            state = _choose(layout)
            stack = _Stack(layout, state)
            layout.save(state)
            started = _start_all(stack, on_step)
            environment = _environment(stack)
            layout.write_environment(environment)
        except OSError as error:
            raise ServerNotStarted(f"a local server could not be started: {error}", hint="sesacctl up") from error
    return UpResult(
        home=str(layout.home), started=started, seconds=round(time.monotonic() - begin, 1), environment=environment
    )


def down(home: Path, *, purge: bool = False, on_step: OnStep = log.info) -> DownResult:
    """Stop the servers of this folder and no others, brokers first; with `purge`, delete their data too."""
    layout = Layout(home)
    if not layout.exists:
        return DownResult(home=str(layout.home), stopped=[], purged=False)
    with file_lock(layout.lock, on_wait=lambda: on_step("another command works on this stack: waiting")):
        stack = _Stack(layout, layout.load())
        stopped: list[str] = []
        for name, server in (("Kafka", stack.kafka), ("Valkey", stack.valkey), ("PostgreSQL", stack.postgres)):
            on_step(f"{name}: stopping")
            stopped += server.stop()
        layout.environment.unlink(missing_ok=True)
        if purge:
            on_step("deleting the data")
            layout.purge()
    return DownResult(home=str(layout.home), stopped=stopped, purged=purge)


def status(home: Path) -> list[ServerStatus]:
    """Every server, asked now. A server that does not answer is not an error here."""
    layout = Layout(home)
    state = layout.load()
    if not layout.exists or not state.kafka_ports:
        return [
            ServerStatus(server=name, pid=None, address="", state="down", version=None, memory_bytes=None)
            for name in SERVERS
        ]
    stack = _Stack(layout, state)
    lines = [
        _status(stack.postgres.program, stack.postgres.address, stack.postgres.version()),
        _status(stack.valkey.program, stack.valkey.address, stack.valkey.version()),
    ]
    for number, program, address in zip(kafka.BROKERS, stack.kafka.programs, stack.kafka.addresses, strict=True):
        lines.append(_status(program, address, stack.kafka.version if number in members(address) else None))
    return lines


def environment(home: Path) -> dict[str, str]:
    """The variables that point to the running stack.

    Raises:
        ServerUnreachable: none runs.
    """
    found = Layout(home).read_environment()
    if not found:
        raise ServerUnreachable(f"no local stack runs in {home}")
    return found


def log_tail(home: Path, server: str, lines: int) -> list[str]:
    """The last lines of a server's log.

    Raises:
        UsageError: there is no such server.
        CheckFailed: it has no log, because it was never started.
    """
    if server not in SERVERS:
        raise UsageError(f"there is no server '{server}'", hint=f"one of: {', '.join(SERVERS)}")
    path = Layout(home).logs / f"{server}.log"
    try:
        return path.read_text(errors="replace").splitlines()[-lines:]
    except FileNotFoundError:
        raise CheckFailed(f"{server} has no log in {path.parent}: it was never started", hint="sesacctl up") from None
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror}") from error


def _choose(layout: Layout) -> State:
    """The state, with new ports in place of those that another program took while our server was away."""
    state = layout.load()
    socket_folder = layout.choose_socket_folder(state.socket_folder)
    if state.socket_folder not in ("", socket_folder):  # something tidied the temporary folder
        Postgres(layout, state).stop()
    state.socket_folder = socket_folder
    state.cluster_id = state.cluster_id or _cluster_id(layout) or kafka.new_cluster_id()
    server = Valkey(layout, state)
    if not state.valkey_port or _is_taken(server.program, state.valkey_port):
        server.stop()
        [state.valkey_port] = ports.choose(1)
    brokers = Kafka(layout, state)
    if len(state.kafka_ports) != len(kafka.BROKERS) or any(
        _is_taken(program, port)
        for program, pair in zip(brokers.programs, state.kafka_ports, strict=True)
        for port in pair
    ):
        # Each broker is told all addresses at its start, so that those that run have to be started again.
        brokers.stop()
        chosen = ports.choose(2 * len(kafka.BROKERS))
        state.kafka_ports = [chosen[number : number + 2] for number in range(0, len(chosen), 2)]
    return state


def _is_taken(program: Program, port: int) -> bool:
    return program.find() is None and not ports.becomes_free(port, _PORT_SECONDS)


def _cluster_id(layout: Layout) -> str | None:
    """The id that the brokers' folders were formatted with, should the state file be lost."""
    for number in kafka.BROKERS:
        path = layout.data / f"kafka-{number}" / "meta.properties"
        if path.exists():
            lines = dict(line.partition("=")[::2] for line in path.read_text().splitlines())
            return lines.get("cluster.id")
    return None


def _start_all(stack: _Stack, on_step: OnStep) -> list[str]:
    """Bring up all servers at once; the names of those that did not run."""
    missing = [program for program in stack.programs if program.find() is None]
    names = [program.name for program in missing]
    brokers = [program.name for program in stack.kafka.programs if program in missing]
    cancel = threading.Event()

    def run_postgres() -> None:
        _bring_up(stack.postgres, cancel)
        on_step("PostgreSQL: ready")

    def run_valkey() -> None:
        _bring_up(stack.valkey, cancel)
        on_step("Valkey: ready")

    def run_kafka() -> None:
        if brokers:
            stack.kafka.start(brokers, on_step, cancel)
        else:
            stack.kafka.wait_ready(cancel)
        on_step("Kafka: three brokers ready")

    def _bring_up(server: Postgres | Valkey, cancel: threading.Event) -> None:
        if server.program.name in names:
            server.start(cancel)
        else:
            server.wait_ready(cancel)

    with ThreadPoolExecutor(3, thread_name_prefix="up") as pool:
        futures = [pool.submit(run) for run in (run_postgres, run_valkey, run_kafka)]
        try:
            for future in futures:
                future.result()
        except KeyboardInterrupt:
            cancel.set()
            raise
    return names


def _environment(stack: _Stack) -> dict[str, str]:
    return {
        "DB_TYPE": "local",
        "POSTGRES_HOST": str(stack.postgres.socket_folder),
        "POSTGRES_PORT": str(postgres.PORT),
        "POSTGRES_USER": postgres.USER,
        "POSTGRES_DB": postgres.DATABASE,
        "REDIS_HOST": ports.HOST,
        "REDIS_PORT": str(stack.valkey.port),
        "KAFKA_BOOTSTRAP_SERVERS": ",".join(stack.kafka.addresses),
    }


def _status(program: Program, address: str, version: str | None) -> ServerStatus:
    process = program.find()
    state = "down" if process is None else "running" if version else "silent"
    return ServerStatus(
        server=program.name,
        pid=process.pid if process else None,
        address=address,
        state=state,
        version=version if process else None,
        memory_bytes=_memory(process) if process else None,
    )


def _memory(process: Any) -> int | None:
    """What the process and its children hold for themselves alone."""
    try:
        return int(sum(member.memory_full_info().uss for member in (process, *process.children(recursive=True))))
    except require("psutil").Error:  # it ended just now
        return None
