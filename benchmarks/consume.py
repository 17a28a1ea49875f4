"""`python -m benchmarks.consume`: `sesacctl consume` against its peers and the machine's limits, interleaved.

`benchmarks/peers` says who the peers are, how they are set up, and who is left out. Every contender finds the same
orders in Kafka and an empty table with its primary key and both foreign keys, and commits its offsets; fsync and
synchronous_commit are on. Ours runs from the environment that users have, the peers from `.venv-bench`. The clock runs
from a third of the rows to the last, so that nobody's start counts; for the pipe, whose rows appear all at once, from
its start. Kafka Connect (`connect_peer` says how) is shown twice: from the resume of its paused tasks to the last row,
and from the first row. `limits` says what no consumer can pass. Then nine consumers as a service
(`consume_service`). Every second round is in the opposite order, and without contenders that no goal names. Prints
tables of rates, ratios, goals and processor time; `--write` puts them into `benchmarks/RESULTS.md`; exits 5 if a goal
was missed.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path
from threading import Event

from benchmarks import connect_peer, consume_report, consume_service, contenders, limits, results
from benchmarks.checkouts import checkout
from benchmarks.measuring import Bench, Run
from benchmarks.servers import local_stack
from sesacctl.broker import topics
from sesacctl.database import init_db
from sesacctl.pipeline.produce.producer import ProducePlan, Producer
from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.settings import Settings
from tests.helpers.events import query

_PACKAGES = ("confluent-kafka", "psycopg2-binary", "psycopg", "aiokafka", "asyncpg", "quixstreams", "mq-bridge")
Runs = dict[str, list[Run]]


def main() -> None:
    """Run every contender `--rounds` times, in turn."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.consume", description=__doc__)
    parser.add_argument("--orders", type=int, default=150_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--instances", type=int, nargs="*", default=[1, 2, 9])
    parser.add_argument("--only", nargs="*", default=[""], help="beginnings of the names of those that take part")
    parser.add_argument("--before", metavar="COMMIT", help="sesacctl as of a commit takes part, too")
    parser.add_argument("--write", action="store_true", help="into benchmarks/RESULTS.md, too")
    options = parser.parse_args()
    with ExitStack() as todo:
        before = todo.enter_context(checkout(options.before)) if options.before else None
        settings, home = todo.enter_context(local_stack())
        prepare(settings, options.orders)
        bench = Bench(settings, home, options.orders)
        runs = compare(bench, options, home, before)
        figures = [] if options.only != [""] else consume_service.measure(settings)
        bench.close()
        report = consume_report.Report(runs, figures)
        print("\n".join(report.lines()), flush=True)
        if options.write:
            versions = results.server_versions(home) | results.package_versions(contenders.PEERS, _PACKAGES)
            results.write_section("consume", report.lines(), versions=versions)
    sys.exit(5 if report.missed else 0)


def prepare(settings: Settings, orders: int) -> None:
    """Sample rows, a full cache, and `orders` orders in Kafka."""
    init_db.initialize(settings, with_seed=True)
    assert all(query(settings, f"SHOW {name}") == [("on",)] for name in ("fsync", "synchronous_commit"))
    topics.init(settings)
    with Refresher(settings) as refresher:
        refresher.run_once()
    produce(settings, orders)


def produce(settings: Settings, orders: int, *, random_seed: int = 1) -> None:
    """That many orders more in Kafka."""
    plan = ProducePlan(count=orders, new_users_per_second=0, new_products_per_second=0, random_seed=random_seed)
    produced = Producer(settings, plan).run(Event())
    assert produced.acknowledged == orders, produced


def compare(bench: Bench, options: argparse.Namespace, home: Path, before: Path | None) -> Runs:
    """All rounds; one before them does not count, as Java compiles then."""
    contenders.copy_for_peers(bench)
    streams = contenders.streaming(bench, options.instances, before)
    streams["sesacctl 1"]()
    runs: Runs = {}
    contents = {bench.checksum()}
    with limits.copies(bench) as copies, connect_peer.worker(bench.settings, home / "connect") as connect:
        everybody = streams | contenders.bounds(bench, copies)
        if connect:
            everybody |= contenders.connecting(bench, connect, runs)
        wanted = {name: run for name, run in everybody.items() if name.startswith(tuple(options.only))}
        if contenders.CONNECT in wanted:
            wanted[contenders.CONNECT]()
            runs.clear()
        for number in range(options.rounds):
            for name in list(wanted) if number % 2 == 0 else reversed(wanted):
                if number % 2 and name.startswith(contenders.SELDOM):
                    continue
                runs.setdefault(name, []).append(found := wanted[name]())
                print(f"{name:>18}: {found.rate:>9,.0f} rows/s", flush=True)
                if number == 0 and name not in (contenders.PREDECESSOR, contenders.READ):
                    contents.add(bench.checksum())
    assert len(contents) == 1, "the contenders did not store the same rows"
    return runs


if __name__ == "__main__":
    main()
