"""`python -m benchmarks.latency`: from an order's time to the COMMIT of its row, beside the least that can be done.

Nine consumers each, and a producer at a steady rate: ours, and `peers/bare.py`; with `--before COMMIT` also ours as of
that commit. PostgreSQL tells when each row was committed (`track_commit_timestamp`) and the row when its order was
made, so that all are measured alike, from outside. Interleaved; the first two seconds of each run do not count. The
second table says where our time goes, by what `produce` and `consume` say of themselves. `--write` puts both into
`benchmarks/RESULTS.md`; exits 5 if a goal was missed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from threading import Event
from uuid import uuid4

from benchmarks import results
from benchmarks.checkouts import checkout
from benchmarks.consume import prepare
from benchmarks.contenders import PEERS
from benchmarks.measuring import Bench, execute
from benchmarks.servers import local_stack
from sesacctl.settings import Settings
from sesacctl.stack import ports, stack
from tests.helpers.events import query

RATES = (50, 500, 5_000)
INSTANCES = 9
BARE, OURS, BEFORE = "bare", "sesacctl", "sesacctl before"
GOALS = ((OURS, BARE, "p50", 1.2), (OURS, BARE, "p99", 1.5), (OURS, BEFORE, "p50", 0.4))
_WARM_SECONDS = 2.0
_PARTS = ("fence", "copy", "commit")
_AGES = """
WITH ages AS (
    SELECT 1000 * extract(epoch FROM pg_xact_commit_timestamp(xmin) - created_at AT TIME ZONE 'UTC') AS ms, created_at
    FROM orders)
SELECT percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY ms) FROM ages
WHERE created_at >= (SELECT min(created_at) FROM ages) + %s * interval '1 second'
"""


@dataclass(frozen=True)
class Run:
    """Milliseconds; `parts` are those of ours, by name."""

    p50: float
    p99: float
    parts: dict[str, float]


Runs = dict[tuple[int, str], list[Run]]


def main() -> None:
    """Run all rounds, print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=__doc__)
    parser.add_argument("--rates", type=int, nargs="*", default=RATES)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", metavar="COMMIT")
    parser.add_argument("--write", action="store_true", help="into benchmarks/RESULTS.md, too")
    options = parser.parse_args()
    with ExitStack() as todo:
        folders = {OURS: Path(__file__).parents[1]}
        if options.before:
            folders[BEFORE] = todo.enter_context(checkout(options.before))
        settings, home = todo.enter_context(local_stack())
        prepare(settings, 100)
        note_commit_times(settings, home)
        bench = Bench(settings, home, 0)
        runs = measure(bench, folders, options)
        bench.close()
        lines, missed = report(runs)
        print("\n".join(lines), flush=True)
        if options.write:
            versions = results.server_versions(home) | results.package_versions(PEERS, ("confluent-kafka",))
            results.write_section("latency", lines, versions=versions)
    sys.exit(5 if missed else 0)


def note_commit_times(settings: Settings, home: Path) -> None:
    """Have PostgreSQL keep the time of each COMMIT, which takes a restart."""
    execute(settings, "ALTER SYSTEM SET track_commit_timestamp = on")
    stack.down(home)
    stack.up(home)


def measure(bench: Bench, folders: dict[str, Path], options: argparse.Namespace) -> Runs:
    """All runs, by rate and contender."""
    found: Runs = {}
    for rate in options.rates:
        for _ in range(options.rounds):
            for name in (BARE, *folders):
                bench.execute("TRUNCATE orders")
                folder = folders.get(name)
                parts = (
                    run_bare(bench, rate, options.seconds)
                    if folder is None
                    else run_ours(bench, folder, rate, options.seconds)
                )
                [([p50, p99],)] = query(bench.settings, _AGES, _WARM_SECONDS)
                found.setdefault((rate, name), []).append(Run(float(p50), float(p99), parts))
                print(f"{rate:>6}/s {name:>16}: p50 {p50:.1f} ms, p99 {p99:.1f} ms", flush=True)
    return found


def run_bare(bench: Bench, rate: int, seconds: float) -> dict[str, float]:
    """Leave the rows of the least that can be done in the table."""
    command = [str(PEERS), "-m", "benchmarks.peers", "bare", f"latency-{uuid4()}"]
    loops = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(INSTANCES)]
    try:
        for each in loops:
            assert each.stdout is not None
            while each.stdout.readline().strip() != "1":
                assert each.poll() is None, "a loop has ended"
        words = [str(PEERS), "-m", "benchmarks.peers.bare", str(rate), str(seconds + _WARM_SECONDS)]
        subprocess.run(words, check=True)
        bench.wait_for_rows(int(rate * (seconds + _WARM_SECONDS)))
    finally:
        for each in loops:
            each.terminate()
        for each in loops:
            each.wait()
    return {}


def run_ours(bench: Bench, folder: Path, rate: int, seconds: float) -> dict[str, float]:
    """Leave the rows of ours in the table; where the time goes, in milliseconds."""
    command = [sys.executable, "-m", "sesacctl"]
    [port] = ports.choose(1)
    consume = [*command, "consume", "-n", str(INSTANCES), "-q", "-o", "jsonl", "--metrics-port", str(port)]
    group = f"latency-{uuid4()}"
    consumers = subprocess.Popen(
        [*consume, "--group", group, "--from", "latest", "--yes"],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert consumers.stdout is not None
    try:
        while not all_have_partitions(consumers.stdout.readline()):
            assert consumers.poll() is None, "the consumers have ended"
        produce = [*command, "produce", "-q", "-o", "json", "--carts", "1", "--new-users", "0", "--new-products", "0"]
        more = ["--rate", str(rate), "--duration", f"{seconds + _WARM_SECONDS:g}s"]
        done = subprocess.run([*produce, *more], cwd=folder, check=True, capture_output=True, text=True)
        produced = json.loads(done.stdout)
        bench.wait_for_rows(produced["acknowledged"])
        parts = shares(port, produced)
    finally:
        consumers.terminate()
        consumers.communicate()
    return parts


def all_have_partitions(line: str) -> bool:
    """Whether a line of `consume` has partitions for each instance."""
    if not line.startswith("{"):
        return False
    instances = json.loads(line).get("instances") or []
    return len(instances) == INSTANCES and all(each["partitions"] for each in instances)


def shares(port: int, produced: dict[str, float]) -> dict[str, float]:
    """Where the time from record to COMMIT goes: the mean of each part in milliseconds, one after the other."""
    Event().wait(2.0)  # until each instance has reported its last step
    with urllib.request.urlopen(f"http://{ports.HOST}:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    whole, step = (_mean_ms(lines, f"sesacctl_{name}_to_commit_seconds") for name in ("record", "read"))
    linger, broker = (produced.get(name, 0.0) for name in ("linger_ms", "broker_ms"))  # an older one does not say
    parts = {part: _mean_ms(lines, "sesacctl_step_seconds", f'"{part}"') for part in _PARTS}
    # A consumer may have a record before its producer hears that all replicas have it.
    return {"linger": linger, "broker": broker, "fetch wait": whole - step - linger - broker, "step": step} | parts


def _mean_ms(lines: Sequence[str], metric: str, label: str = "") -> float:
    """Of a histogram, of all that were observed."""
    total, number = (
        sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(f"{metric}_{end}") and label in line)
        for end in ("sum", "count")
    )
    return 1000 * total / number if number else 0.0


def report(runs: Runs) -> tuple[list[str], bool]:
    """Markdown, and whether a goal was missed."""
    rows, missed = [], False
    for (rate, name), found in runs.items():
        verdicts = [verdict(runs, rate, *goal) for goal in GOALS if name == OURS and (rate, goal[1]) in runs]
        missed |= any("MISSED" in each for each in verdicts)
        rows.append((f"{rate}/s", name, spread([run.p50 for run in found]), spread([run.p99 for run in found]),
                     "; ".join(verdicts)))  # fmt: skip
    lines = results.table(("rate", "contender", "p50 ms", "p99 ms", "goals"), rows)
    names = ("linger", "broker", "fetch wait", "step", *_PARTS)
    ours = [(rate, found) for (rate, name), found in runs.items() if name == OURS]
    parts = [
        (f"{rate}/s", *(f"{median(run.parts[name] for run in found):.1f}" for name in names)) for rate, found in ours
    ]
    return [
        *lines,
        "",
        "Where the time of ours goes, means in milliseconds; after the step, of which it is, what its parts take:",
        "",
        *results.table(("rate", *names), parts),
    ], missed


def verdict(runs: Runs, rate: int, ours: str, theirs: str, figure: str, most: float) -> str:
    """A ratio of medians, and whether it is small enough."""
    mine, other = (median(getattr(run, figure) for run in runs[rate, name]) for name in (ours, theirs))
    return f"{figure} {mine / other:.2f}x of {theirs} (≤ {most:g}: {'met' if mine / other <= most else 'MISSED'})"


def spread(values: Sequence[float]) -> str:
    """The median, and from where to where they go."""
    return f"{median(values):.1f} ({min(values):.1f}–{max(values):.1f})"


if __name__ == "__main__":
    main()
