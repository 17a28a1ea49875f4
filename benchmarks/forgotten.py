"""`python -m benchmarks.forgotten [--orders 50000]`: the sink without forgotten users and with 10,000, interleaved.

The same steps of 1,000 orders go into an empty table of a local stack with fsync on, none of them of a forgotten user,
as it is with nearly all. Prints the medians and their ratio; exits 5 if the list costs more than a tenth.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from time import perf_counter
from uuid import uuid4

from benchmarks.servers import local_stack
from sesacctl.database import init_db
from sesacctl.settings import Settings
from tests.helpers.events import add_parents, batch, many_orders, query
from tests.helpers.rig import Rig

TARGET = 0.9
FORGOTTEN = 10_000
STEP = 1_000


def main() -> None:
    """Store the orders with each list, in turn; exit 5 if the target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.forgotten", description=__doc__)
    parser.add_argument("--orders", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each, in turn")
    options = parser.parse_args()
    with local_stack() as (settings, _):
        init_db.initialize(settings, with_seed=False)
        add_parents(settings, users=100)
        ratio = compare(settings, options.orders // STEP, options.rounds)
    sys.exit(0 if ratio >= TARGET else 5)


def compare(settings: Settings, steps: int, rounds: int) -> float:
    """The ratio of the medians of interleaved rounds."""
    rates: dict[int, list[float]] = {0: [], FORGOTTEN: []}
    store(settings, 2)  # does not count: files are made
    for _ in range(rounds):
        for number, found in rates.items():
            query(settings, "TRUNCATE forgotten_users")
            query(
                settings,
                "INSERT INTO forgotten_users (user_id, reason) SELECT 'gone-' || n, 'benchmark'"
                " FROM generate_series(1, %s) n",
                number,
            )
            found.append(store(settings, steps))
    for number, found in rates.items():
        print(
            f"{number:>7,} forgotten{statistics.median(found):12,.0f} orders/s   of {[round(rate) for rate in found]}"
        )
    ratio = statistics.median(rates[FORGOTTEN]) / statistics.median(rates[0])
    print(f"ratio {ratio:.3f} (target {TARGET})", flush=True)
    return ratio


def store(settings: Settings, steps: int) -> float:
    """Orders a second of a new sink, from its first step to its last; reading the list is part of the first."""
    query(settings, "TRUNCATE orders")
    topic_id = uuid4()
    batches = [batch(many_orders(STEP), topic_id=topic_id, seen=STEP * number) for number in range(steps)]
    rig = Rig(settings)
    try:
        rig.begin(batches[0])
        started = perf_counter()
        counts = [rig.sink.store([each])[each.key] for each in batches]
        seconds = perf_counter() - started
    finally:
        rig.connection.close()
    assert sum(each.stored for each in counts) == STEP * steps
    return STEP * steps / seconds


if __name__ == "__main__":
    main()
