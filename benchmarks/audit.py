"""`python -m benchmarks.audit [--orders 150000]`: `audit --values` against `audit --deep`, interleaved, in one run.

Both read the same orders again, from a local stack with fsync on. Prints the medians and their ratio; exits 5 if
`--values` has less than half of the speed of `--deep`.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from time import perf_counter

from benchmarks.consume import prepare
from benchmarks.servers import local_stack
from sesacctl.pipeline.audit.deep import deep_audit
from sesacctl.pipeline.audit.partitions import read_partitions
from sesacctl.settings import Settings

TARGET = 0.5


def main() -> None:
    """Store the orders, read them again; exit 5 if the target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--orders", type=int, default=150_000)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each, in turn")
    options = parser.parse_args()
    with local_stack() as (settings, _):
        prepare(settings, options.orders)
        subprocess.run([sys.executable, "-m", "sesacctl", "consume", "-n", "2", "-q", "--until-empty"], check=True)
        ratio = compare(settings, options.orders, options.rounds)
    sys.exit(0 if ratio >= TARGET else 5)


def compare(settings: Settings, orders: int, rounds: int) -> float:
    """The ratio of the medians of interleaved rounds."""
    rates: dict[str, list[float]] = {"--deep": [], "--values": []}
    partitions = read_partitions(settings)
    for _ in range(rounds):
        for name, found in rates.items():
            started = perf_counter()
            result = deep_audit(settings, partitions, values=name == "--values")
            found.append(orders / (perf_counter() - started))
            assert (result.found, result.missing, result.different) == (orders, 0, 0)
    for name, found in rates.items():
        print(f"{name:>9}{statistics.median(found):12,.0f} records/s   of {[round(rate) for rate in found]}")
    ratio = statistics.median(rates["--values"]) / statistics.median(rates["--deep"])
    print(f"ratio {ratio:.2f} (target {TARGET})", flush=True)
    return ratio


if __name__ == "__main__":
    main()
