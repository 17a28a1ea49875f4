"""`python -m benchmarks.profiling`: where one consumer spends its time, as a flame graph in docs/charts.

One process stores a backlog, and `py-spy` looks at it 500 times a second. Prints the shares of the main thread's parts,
waiting included; the graph has what holds the interpreter's lock in any thread.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from uuid import uuid4

from benchmarks import results
from benchmarks.consume import prepare
from benchmarks.contenders import PEERS
from benchmarks.growth import CHARTS
from benchmarks.measuring import Bench, started
from benchmarks.servers import local_stack
from tests.helpers.consumers import instances

CHART = CHARTS / "profile-consume.svg"
ORDERS = 400_000
SECONDS = 4
# Parts of a step, by functions of which a stack has one; the first one that it has counts.
PARTS = {
    "waiting for what is read ahead": ("ahead.py",),
    "poll": ("Reader.poll",),
    "making rows for COPY": ("_Texts.read",),
    "waiting for PostgreSQL, which takes them in and checks them": ("copy_rows",),
    "fence": ("Sink._fence",),
    "offset and counters": ("Sink._advance",),
    "COMMIT": ("_Connection.commit",),
    "the rest of the step": ("Instance.run_once",),
}


def main() -> None:
    """Profile, write the chart, print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profiling", description=__doc__)
    parser.add_argument("--write", action="store_true", help="into benchmarks/RESULTS.md, too")
    options = parser.parse_args()
    spy = PEERS.with_name("py-spy")
    with local_stack() as (settings, home), tempfile.TemporaryDirectory() as folder:
        prepare(settings, ORDERS)
        bench = Bench(settings, home, ORDERS)
        command = [sys.executable, "-m", "sesacctl", "consume", "-n", "1", "-q", "--group", f"profile-{uuid4()}"]
        with started([command]) as [supervisor]:
            bench.wait_for_rows(1)
            [pid] = instances(supervisor)
            looks = ["-p", str(pid), "-r", "500", "-d", str(SECONDS), "--idle"]
            raw = Path(folder) / "looks"
            subprocess.run([spy, "record", *looks, "-f", "raw", "-o", raw], check=True, capture_output=True)
            busy = [word.replace("--idle", "--gil") for word in looks]
            subprocess.run([spy, "record", *busy, "-f", "flamegraph", "-o", CHART], check=True, capture_output=True)
            CHART.write_text(
                re.sub(r">[^<>]*py-spy record[^<>]*<", ">One consumer that stores a backlog<", CHART.read_text())
            )
            assert bench.wait_for_rows(1)[1] < ORDERS, "it had stored everything before the end"
        bench.close()
        lines = results.table(("part of the main thread's time", "share"), shares(raw.read_text().splitlines()))
        print("\n".join(lines))
        if options.write:
            results.write_section("profile of a consumer", lines, versions=results.server_versions(home))


def shares(looks: Iterable[str]) -> list[tuple[str, str]]:
    """The share of each part in the looks at the thread that runs the instance."""
    found: Counter[str] = Counter()
    for line in looks:
        stack, _, number = line.rpartition(" ")
        if "Instance.run" in stack:
            part = next(
                (part for part, names in PARTS.items() if any(name in stack for name in names)), "between steps"
            )
            found[part] += int(number)
    total = found.total()
    return [(part, f"{100 * number / total:.0f} %") for part, number in found.most_common()]


if __name__ == "__main__":
    main()
