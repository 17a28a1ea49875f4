"""Starting the local servers, on ports that are free."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

from sesacctl.errors import ServerNotStarted
from sesacctl.stack import kafka, ports
from sesacctl.stack.jars import Fetch
from sesacctl.stack.kafka import Kafka
from sesacctl.stack.layout import Layout, State
from sesacctl.stack.postgres import Postgres
from sesacctl.stack.process import Program
from sesacctl.stack.valkey import Valkey

OnStep = Callable[[str], None]
KINDS = ("PostgreSQL", "Valkey", "Kafka")
_PORT_SECONDS = 2.0
_TRIES = 3


class Servers:
    """The five servers of one folder."""

    def __init__(self, layout: Layout, state: State) -> None:
        self.state = state
        self.postgres = Postgres(layout, state)
        self.valkey = Valkey(layout, state)
        self.kafka = Kafka(layout, state)

    def of(self, kind: str) -> Sequence[Program]:
        """The processes of one kind of `KINDS`."""
        return {
            "PostgreSQL": (self.postgres.program,),
            "Valkey": (self.valkey.program,),
            "Kafka": self.kafka.programs,
        }[kind]

    @property
    def programs(self) -> list[Program]:
        """All processes of the stack."""
        return [program for kind in KINDS for program in self.of(kind)]


def start(layout: Layout, on_step: OnStep, fetch: Fetch, kinds: Collection[str] = KINDS) -> tuple[Servers, list[str]]:
    """Start what does not run of `kinds`, and wait until it answers; returns the names of what was started.

    A port may be taken between the moment when it was found free and the moment when its server listens: then there
    is another try with others. `fetch` brings jars that are not here.

    Raises:
        ServerNotStarted: one did not start, or there are too few ports. What ran before still runs.
    """
    state, started = _choose(layout), set[str]()
    for left in reversed(range(_TRIES)):
        servers = Servers(layout, state)
        layout.save(state)
        missing = [program.name for kind in kinds for program in servers.of(kind) if program.find() is None]
        started.update(missing)
        try:
            _start_all(servers, kinds, missing, on_step, fetch)
        except ServerNotStarted:
            if not left or (state := _choose(layout)) == servers.state:
                raise
            on_step("port taken by another program, retrying")
        else:
            break
    return servers, [program.name for program in servers.programs if program.name in started]


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
    if len(state.kafka_ports) != state.brokers or any(
        _is_taken(program, port)
        for program, pair in zip(brokers.programs, state.kafka_ports, strict=True)
        for port in pair
    ):
        # Each broker gets all addresses at its start, so that those that run have to be started again.
        brokers.stop()
        chosen = ports.choose(2 * state.brokers)
        state.kafka_ports = [chosen[number : number + 2] for number in range(0, len(chosen), 2)]
    return state


def _is_taken(program: Program, port: int) -> bool:
    return program.find() is None and not ports.becomes_free(port, _PORT_SECONDS)


def _cluster_id(layout: Layout) -> str | None:
    """The id that the brokers' folders were formatted with, should the state file be lost."""
    for path in sorted(layout.data.glob("kafka-*/meta.properties")):
        lines = dict(line.partition("=")[::2] for line in path.read_text().splitlines())
        return lines.get("cluster.id")
    return None


def _start_all(
    servers: Servers, kinds: Collection[str], missing: Collection[str], on_step: OnStep, fetch: Fetch
) -> None:
    """Bring up those of `kinds` that are `missing` at once, and wait for all."""
    brokers = [program.name for program in servers.kafka.programs if program.name in missing]
    cancel = threading.Event()

    def run_postgres() -> None:
        _bring_up(servers.postgres, cancel)
        on_step("PostgreSQL: ready")

    def run_valkey() -> None:
        _bring_up(servers.valkey, cancel)
        on_step("Valkey: ready")

    def run_kafka() -> None:
        if brokers:
            servers.kafka.start(brokers, on_step, cancel, fetch)
        else:
            servers.kafka.wait_ready(cancel)
        on_step(f"Kafka: {len(servers.kafka.numbers)} brokers ready")

    def _bring_up(server: Postgres | Valkey, cancel: threading.Event) -> None:
        if server.program.name in missing:
            server.start(cancel)
        else:
            server.wait_ready(cancel)

    runs = dict(zip(KINDS, (run_postgres, run_valkey, run_kafka), strict=True))
    with ThreadPoolExecutor(len(KINDS), thread_name_prefix="up") as pool:
        futures = [pool.submit(runs[kind]) for kind in kinds]
        try:
            for future in futures:
                future.result()
        except KeyboardInterrupt:
            cancel.set()
            raise
