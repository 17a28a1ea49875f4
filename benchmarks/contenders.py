"""Who takes part in `python -m benchmarks.consume`, as functions that measure one run."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from kafka.admin import NewTopic

from benchmarks import connect_peer, limits
from benchmarks.measuring import Bench, Run
from benchmarks.peers.orders import LZ4_TOPIC
from sesacctl.broker import clients
from sesacctl.broker.topics import REPLICATION_FACTOR
from sesacctl.events import ORDERS, PARTITIONS

PEERS = Path(__file__).parents[1] / ".venv-bench" / "bin" / "python"
BEFORE = "before"
PREDECESSOR = "predecessor 1"
PREDECESSOR_SECONDS = 10.0
READ = "read only"
CONNECT = f"connect {connect_peer.TASKS}"
# Whom no goal names, but for the predecessor, which is two hundred times slower.
SELDOM = (PREDECESSOR, READ, "psycopg 3 COPY", "asyncpg COPY", "quixstreams")
# Those that have as many processes as we have; all others have the number that is best for them on two cores.
CONFLUENT = ("confluent", "confluent COPY", "psycopg 3 COPY")
OTHERS = {"asyncpg COPY": 2, "quixstreams": 2, "mq-bridge COPY": 1}
Measure = Callable[[], Run]


def streaming(bench: Bench, instances: Sequence[int], before: Path | None) -> dict[str, Measure]:
    """Those that consume from Kafka, by name and number of processes; who is not installed is named and left out.

    `before` is the folder of an earlier sesacctl.
    """
    found: dict[str, Measure] = {}
    for number in instances:
        found[f"sesacctl {number}"] = partial(bench.stream, _ours(number))
        if before:
            found[f"{BEFORE} {number}"] = partial(bench.stream, _ours(number, before))
        if PEERS.exists():
            found |= {f"{name} {number}": partial(bench.stream, _peer(name), number) for name in CONFLUENT}
    if not PEERS.exists():
        print(f"all peers in Python are left out: `make bench` installs them into {PEERS.parents[1].name}", flush=True)
        return found
    found |= {f"{name} {number}": partial(bench.stream, _peer(name), number) for name, number in OTHERS.items()}
    if shutil.which("faucet"):
        found["faucet COPY 1"] = partial(bench.stream, _peer("faucet COPY"))
    else:
        print("faucet-stream is left out: `faucet` is not on the PATH", flush=True)
    if shutil.which("kcat") and shutil.which("psql"):
        found["kcat | psql"] = partial(bench.stream, lambda _: ["sh", "-c", _PIPE])
    else:
        print("kcat | psql is left out: one of them is not on the PATH", flush=True)
    return found | {PREDECESSOR: partial(bench.stream, _peer("predecessor"), seconds=PREDECESSOR_SECONDS)}


def bounds(bench: Bench, copies: limits.Copies) -> dict[str, Measure]:
    """What no consumer can pass."""
    found: dict[str, Measure] = {f"server COPY {number}": partial(copies.run, number) for number in (1, 2)}
    return found | {READ: partial(limits.read, bench, PEERS)} if PEERS.exists() else found


def connecting(bench: Bench, connect: connect_peer.Worker, runs: dict[str, list[Run]]) -> dict[str, Measure]:
    """Kafka Connect; the rate from its first row on goes into `runs` under a name of its own."""

    def measure() -> Run:
        bench.execute("TRUNCATE orders")
        with connect.paused() as resume:
            whole, from_first = bench.resume(resume, connect.pid)
        runs.setdefault(f"{CONNECT} (row)", []).append(Run(from_first, whole.processor))
        return whole

    return {CONNECT: measure}


def copy_for_peers(bench: Bench) -> None:
    """The same orders in LZ4: the librdkafka in mq-bridge and faucet-stream was built without zstd."""
    admin = clients.admin(bench.settings)
    options = {"compression.type": "lz4"}
    try:
        admin.create_topics([NewTopic(LZ4_TOPIC, PARTITIONS[ORDERS], REPLICATION_FACTOR, topic_configs=options)])
    finally:
        admin.close()
    connect_peer.copy_orders(bench.settings, LZ4_TOPIC)


def _ours(number: int, folder: Path = Path(__file__).parents[1]) -> Callable[[str], list[str]]:
    command = ["env", "-C", str(folder), sys.executable, "-m", "sesacctl", "consume", "-n", str(number), "-q"]
    return lambda group: [*command, "--group", group]


def _peer(name: str) -> Callable[[str], list[str]]:
    return lambda group: [str(PEERS), "-m", "benchmarks.peers", name, group]


_PIPE = (
    'kcat -C -b "$KAFKA_BOOTSTRAP_SERVERS" -t orders -o beginning -e -q | psql -q -h "$POSTGRES_HOST" -U'
    ' "$POSTGRES_USER" -d "$POSTGRES_DB" -c "CREATE TEMP TABLE raw (value json)"'
    " -c \"COPY raw FROM STDIN WITH (FORMAT csv, QUOTE e'\\x01', DELIMITER e'\\x02')\""
    " -c \"INSERT INTO orders SELECT o.* FROM raw, json_populate_record(null::orders, value->'order') o"
    ' ON CONFLICT DO NOTHING"'
)
