"""How cost grows: `python -m benchmarks.growth WHAT [--most N]`, a table and a chart for each series.

WHAT is any of processes, partitions, backlog, table, refresh and audit; nothing is all of them. Each has servers of its
own, with fsync on, and points in geometric steps, up to `--most` or as far as `--minutes` go. The tables are printed as
Markdown, with a sentence for each line that comes from slopes of logarithms: flat, linear, or a knee; the charts are
written into docs/charts. Memory is the proportional set size, the most at ten looks a second.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import growth_consume, growth_read, results
from benchmarks.growth_consume import Plan
from benchmarks.growth_report import Series
from benchmarks.servers import local_stack
from sesacctl.settings import Settings

CHARTS = Path(__file__).resolve().parents[1] / "docs" / "charts"
# On a stack: how it is measured, and its largest point.
ON_A_STACK: dict[str, tuple[Callable[[Settings, Plan], Series], int]] = {
    "processes": (growth_consume.processes, 9),
    "partitions": (growth_consume.partitions, 90),
    "backlog": (growth_consume.backlog, 5_000_000),
    "table": (growth_consume.table, 100_000_000),
    "audit": (growth_read.audits, 1_000_000),
}
MOST_REFRESHED = 10_000_000


def main() -> None:
    """Measure what is named, print the sections, write the charts."""
    names = [*ON_A_STACK, "refresh"]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="WHAT", help=", ".join(names))
    parser.add_argument("--most", type=int, help="the largest point, instead of the series' own")
    parser.add_argument("--orders", type=int, default=100_000, help="orders where something else grows")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each point, of which the median counts")
    parser.add_argument("--minutes", type=float, default=5, help="for one series: then its largest points are left out")
    parser.add_argument("--write", action="store_true", help="into benchmarks/RESULTS.md, too")
    parser.add_argument("--charts", type=Path, default=CHARTS, help="where the charts go")
    options = parser.parse_args()
    if unknown := set(options.what) - set(names):
        parser.error(f"{', '.join(sorted(unknown))}: it is none of {', '.join(names)}")
    for name in options.what or names:
        began = time.monotonic()
        most = options.most or (ON_A_STACK[name][1] if name in ON_A_STACK else MOST_REFRESHED)
        series = measure(name, Plan(most, options.orders, options.rounds, 60 * options.minutes))
        options.charts.mkdir(parents=True, exist_ok=True)
        (options.charts / f"growth-{name}.svg").write_text(series.svg(), "utf-8")
        print("\n".join(series.markdown()), "\n", flush=True)
        if options.write:
            results.write_section(f"growth of {name}", series.markdown())
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)


def measure(name: str, plan: Plan) -> Series:
    """One series, on servers of its own."""
    if name not in ON_A_STACK:
        return growth_read.refresh(plan)
    with local_stack() as (settings, _):
        return ON_A_STACK[name][0](settings, plan)


if __name__ == "__main__":
    main()
