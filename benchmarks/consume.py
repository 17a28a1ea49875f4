"""`python -m benchmarks.consume`: `sesacctl consume` against its peers, interleaved, on the same orders.

For the peers, `pip install confluent-kafka`, and kcat and psql for the pipe; who is not installed is left out. Every
contender finds the same orders in Kafka and an empty table with its primary key and both foreign keys, and commits its
offsets; fsync and synchronous_commit are on. The clock runs from the first row to the last, so that nobody's start
counts; for the pipe, whose rows appear all at once, from its start. Kafka Connect (`connect_peer` says how) is shown
twice: from the resume of its paused tasks to the last row, and from the first row as everybody else. Then nine
consumers as a service (`consume_service`). Prints a table of medians and ratios, and one of figures; exits 5 if a
target was missed.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from uuid import uuid4

from benchmarks import connect_peer, consume_service
from sesacctl import settings as settings_module
from sesacctl.broker import topics
from sesacctl.database import init_db
from sesacctl.database.connections import connect
from sesacctl.database.cursors import fetch_row
from sesacctl.pipeline.produce.producer import ProducePlan, Producer
from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.settings import Settings
from sesacctl.stack import stack
from tests.helpers.events import query

TARGETS = {
    "confluent 1": 2.5,
    "confluent 2": 2.5,
    "confluent 9": 2.0,
    "kcat | psql": 1.5,
    "predecessor": 200.0,
    "connect 3": 1.2,
}

# How many of our processes stand against those that have a number of their own: kcat and psql are two; nine is what
# `consume` starts.
AGAINST = {"connect": "2", "kcat": "2", "predecessor": "9"}


def main() -> None:
    """Run every contender `--rounds` times, in turn."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.consume", description=__doc__)
    parser.add_argument("--orders", type=int, default=150_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--instances", type=int, nargs="*", default=[1, 2, 9])
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="sesacctl-benchmark-"))
    try:
        environment = stack.up(home).environment
        os.environ.update(environment, SESAC_HOME=str(home))
        settings = settings_module.load(**{name.lower(): value for name, value in environment.items()})
        prepare(settings, options.orders)
        with connect_peer.worker(settings, home / "connect") as connect:
            missed = compare(settings, options, connect)
        missed |= service(settings)
    finally:
        stack.down(home, purge=True)
        shutil.rmtree(home, ignore_errors=True)
    sys.exit(5 if missed else 0)


def compare(settings: Settings, options: argparse.Namespace, connect: connect_peer.Worker | None) -> bool:
    """Run the rounds, print the table; whether a target was missed."""
    results: dict[str, list[float]] = {}
    contents = set()
    if connect:
        run_connect(settings, connect, options.orders)  # does not count: Java compiles
    for _ in range(options.rounds):
        for name, start in contenders(options.instances).items():
            slow = name == "predecessor"
            rate = run(settings, start, options.orders, seconds=10.0 if slow else None)
            results.setdefault(name, []).append(rate)
            print(f"{name:>16}: {rate:>9,.0f} rows/s", flush=True)
            if not slow:
                contents.add(checksum(settings))
        if connect:
            for name, rate in run_connect(settings, connect, options.orders).items():
                results.setdefault(name, []).append(rate)
                print(f"{name:>16}: {rate:>9,.0f} rows/s", flush=True)
            contents.add(checksum(settings))
    assert len(contents) == 1, "the contenders did not store the same rows"
    return report(results)


def service(settings: Settings) -> bool:
    """Measure nine consumers as a service, print the figures; whether a target was missed."""
    figures = consume_service.measure(settings)
    print()
    for figure in figures:
        target = f"(target ≤ {figure.most:g}, {'MISSED' if figure.missed else 'met'})"
        print(f"{figure.name:>38} {figure.value:>8.1f} {figure.unit:<12} {target}")
    return any(figure.missed for figure in figures)


def contenders(instances: list[int]) -> dict[str, Callable[[str], list[list[str]]]]:
    """For each name, the commands that consume with a given group."""

    def ours(number: int) -> Callable[[str], list[list[str]]]:
        command = [sys.executable, "-m", "sesacctl", "consume", "-n", str(number), "-q", "--group"]
        return lambda group: [[*command, group]]

    def peer(name: str, number: int) -> Callable[[str], list[list[str]]]:
        return lambda group: [[sys.executable, "-m", "benchmarks.consume_peers", name, group]] * number

    found: dict[str, Callable[[str], list[list[str]]]] = {}
    confluent = importlib.util.find_spec("confluent_kafka") is not None
    for number in instances:
        found[f"sesacctl {number}"] = ours(number)
        if confluent:
            found[f"confluent {number}"] = peer("confluent", number)
    if shutil.which("kcat") and shutil.which("psql"):
        found["kcat | psql"] = lambda _: [["sh", "-c", PIPE]]
    return found | {"predecessor": peer("predecessor", 1)} if confluent else found


PIPE = (
    'kcat -C -b "$KAFKA_BOOTSTRAP_SERVERS" -t orders -o beginning -e -q | psql -q -h "$POSTGRES_HOST" -U'
    ' "$POSTGRES_USER" -d "$POSTGRES_DB" -c "CREATE TEMP TABLE raw (value json)"'
    " -c \"COPY raw FROM STDIN WITH (FORMAT csv, QUOTE e'\\x01', DELIMITER e'\\x02')\""
    " -c \"INSERT INTO orders SELECT o.* FROM raw, json_populate_record(null::orders, value->'order') o"
    ' ON CONFLICT DO NOTHING"'
)


def prepare(settings: Settings, orders: int) -> None:
    """Sample rows, a full cache, and `orders` orders in Kafka."""
    init_db.initialize(settings, with_seed=True)
    assert all(query(settings, f"SHOW {name}") == [("on",)] for name in ("fsync", "synchronous_commit"))
    topics.init(settings)
    with Refresher(settings) as refresher:
        refresher.run_once()
    plan = ProducePlan(count=orders, new_users_per_second=0, new_products_per_second=0, random_seed=1)
    produced = Producer(settings, plan).run(Event())
    assert produced.acknowledged == orders, produced


def run(settings: Settings, start: Callable[[str], list[list[str]]], orders: int, *, seconds: float | None) -> float:
    """Rows a second between the first row and the last, or within `seconds`."""
    execute(settings, "TRUNCATE orders")
    execute(settings, "CHECKPOINT")
    commands = start(f"bench-{uuid4()}")
    begin = time.monotonic()
    processes = [
        subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in commands
    ]
    try:
        first, rows = wait_for_rows(settings, 1, 120.0)
        if rows == orders:
            return orders / (first - begin)
        last, stored = wait_for_rows(settings, orders, 120.0 if seconds is None else seconds, strict=seconds is None)
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            process.wait()
    return (stored - rows) / (last - first)


def run_connect(settings: Settings, connect: connect_peer.Worker, orders: int) -> dict[str, float]:
    """Rows a second of Kafka Connect: from the resume of its tasks to the last row, and from the first row on."""
    execute(settings, "TRUNCATE orders")
    with connect.paused() as resume:
        execute(settings, "CHECKPOINT")
        begin = time.monotonic()
        resume()
        first, rows = wait_for_rows(settings, 1, 120.0)
        last, stored = wait_for_rows(settings, orders, 900.0)
    return {"connect 3": stored / (last - begin), "connect 3 (row)": (stored - rows) / (last - first)}


def wait_for_rows(settings: Settings, wanted: int, seconds: float, *, strict: bool = True) -> tuple[float, int]:
    """The time at which there were `wanted` rows, and how many there were."""
    deadline = time.monotonic() + seconds
    connection = connect(settings, command="benchmark")
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            while True:
                cursor.execute("SELECT count(*) FROM orders")
                rows = int(fetch_row(cursor)[0])
                now = time.monotonic()
                if rows >= wanted or (now >= deadline and not strict):
                    return now, rows
                assert now < deadline, f"{rows} rows of {wanted}"
                Event().wait(0.1)
    finally:
        connection.close()


def execute(settings: Settings, statement: str) -> None:
    """Run one statement outside a transaction."""
    connection = connect(settings, command="benchmark", bound=600)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


def checksum(settings: Settings) -> str:
    """Of all rows, in the order of their ids."""
    connection = connect(settings, command="benchmark", bound=600)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT md5(string_agg(o::text, '|' ORDER BY order_id)) FROM orders o")
            return str(fetch_row(cursor)[0])
    finally:
        connection.close()


def report(results: dict[str, list[float]]) -> bool:
    """Print medians and our ratios to theirs; whether a target was missed."""
    medians = {name: statistics.median(rates) for name, rates in results.items()}
    print(f"\n{'contender':>16} {'rows/s':>10} {'min':>10} {'max':>10}   ours is")
    missed = False
    for name, rates in results.items():
        line = f"{name:>16} {medians[name]:>10,.0f} {min(rates):>10,.0f} {max(rates):>10,.0f}"
        if not name.startswith("sesacctl"):
            number = name.split()[1] if name.startswith("confluent") else AGAINST[name.split()[0]]
            ratio = medians.get(f"sesacctl {number}", max(medians.values())) / medians[name]
            line += f"   {ratio:.2f}x"
            if name in TARGETS:
                met = ratio >= TARGETS[name]
                missed |= not met
                line += f" (target {TARGETS[name]:g}x, {'met' if met else 'MISSED'})"
        print(line)
    return missed


if __name__ == "__main__":
    main()
