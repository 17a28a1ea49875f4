"""`python -m benchmarks.cache [--rows 5000000]`: what the cache promises, as ratios measured in one run."""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from time import monotonic, perf_counter
from typing import Any, NamedTuple

from benchmarks.cache_peers import predecessor, predecessor_draw, seed_sql
from benchmarks.servers import Servers, servers
from sesacctl.cache.client import CacheReader, connect
from sesacctl.database.database import engine_for
from sesacctl.database.schema import revisions
from sesacctl.pipeline.refresh.worker import Refresher

SMALL = 10_000
# 20,000 dead rows: autovacuum_vacuum_threshold of both tables.
VACUUM_EVERY = 20


class Ratio(NamedTuple):
    """`figures` say what was divided; at least (or at most, if it starts with ≤) `target`."""

    claim: str
    figures: str
    value: float
    target: str

    @property
    def reached(self) -> bool:
        sign, number = self.target[0], float(self.target[1:])
        return self.value <= number if sign == "≤" else self.value >= number


def main() -> None:
    """Print the table; exit 5 if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cache", description=__doc__)
    parser.add_argument(
        "--rows", type=int, default=5_000_000, help="rows of each of the two tables of the big database"
    )
    parser.add_argument("--rounds", type=int, default=600, help="rounds for the run that lets dead rows pile up")
    options = parser.parse_args()
    missed = 0
    with servers() as running:
        say(f"loading {options.rows:,} users and as many products")
        load(running, "small", SMALL)
        load(running, "big", options.rows)
        print(f"{'claim':58}{'measured':>10}{'target':>9}   figures")
        for ratio in measure(running, options.rows, options.rounds):
            missed += not ratio.reached
            mark = "" if ratio.reached else "  MISSED"
            print(f"{ratio.claim:58}{ratio.value:10.2f}{ratio.target:>9}   {ratio.figures}{mark}", flush=True)
    sys.exit(5 if missed else 0)


def say(message: str) -> None:
    """Progress, on stderr."""
    print(message, file=sys.stderr, flush=True)


def load(running: Servers, database: str, rows: int) -> None:
    """`rows` of each table, all cached before, 1,000 to a stamp as the refresh leaves them."""
    with running.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {database}")
    settings = running.settings(database)
    revisions.upgrade(settings, "0002")  # the indexes are made once, after the rows
    with running.cursor(database) as cursor:
        insert(cursor, 1, rows, "now() - interval '1 day' + i / 1000 * interval '1 second'")
    revisions.upgrade(settings)
    with running.cursor(database) as cursor:
        cursor.execute("VACUUM ANALYZE users, products")
        cursor.execute("CHECKPOINT")


def insert(cursor: Any, first: int, last: int, stamp: str = "NULL") -> None:
    """Users and products number `first` to `last`, last cached at `stamp`, an expression over the number `i`."""
    numbers = f"FROM generate_series({first}, {last}) AS i"
    cursor.execute(
        f"""INSERT INTO users (user_id, name, gender, age, age_group, region, join_date, last_cached_at)
        SELECT 'u_' || lpad(i::text, 8, '0'), '홍길동' || i, 'F', 34, '30대', '서울', '2024-05-01', {stamp} {numbers}"""
    )
    cursor.execute(
        f"""INSERT INTO products (product_id, name, category, brand, price, org_price, discount_rate, stock,
            last_cached_at)
        SELECT 'p_' || lpad(i::text, 8, '0'), '무선 이어폰 ' || i, '전자기기', '삼성', 89000, 99000, 10.1, 25, {stamp}
        {numbers}"""
    )


def measure(running: Servers, rows: int, rounds: int) -> Iterator[Ratio]:
    """All claims; the order matters, for the later ones change the tables."""
    yield statements_a_round(running)
    yield growth(running, rows)
    yield from draws(running)
    yield against_predecessor(running)
    for database in ("small", "big"):
        yield ageing(running, database, rounds)
    yield against_seed(running, rows)


def statements_a_round(running: Servers) -> Ratio:
    """Counted in the server's log, after the first round."""
    with running.cursor() as cursor:
        cursor.execute("ALTER DATABASE small SET log_statement = 'all'")
    count = 20
    with Refresher(running.settings("small")) as refresher:
        refresher.run_once()
        start = running.log.stat().st_size
        for _ in range(count):
            refresher.run_once()
        with running.log.open("rb") as log:
            log.seek(start)
            lines = [line.split(b"statement: ")[1] for line in log if b"statement: " in line]
    with running.cursor() as cursor:
        cursor.execute("ALTER DATABASE small RESET log_statement")
    statements = sum(not line.startswith((b"BEGIN", b"COMMIT")) for line in lines)
    return Ratio(
        "statements a minute at --loop 50", f"{statements} in {count} rounds", 60 / 50 * statements / count, "≤1.2"
    )


def growth(running: Servers, rows: int) -> Ratio:
    """The same round on both databases, in turns, each with 100 newcomers."""
    times: dict[str, list[float]] = {"small": [], "big": []}
    sizes = {"small": SMALL, "big": rows}
    with ExitStack() as stack:
        refreshers = {name: stack.enter_context(Refresher(running.settings(name, 1))) for name in times}
        cursors = {name: stack.enter_context(running.cursor(name)) for name in times}
        for round_ in range(65):
            for name in times:
                first = sizes[name] + 100 * round_
                insert(cursors[name], first + 1, first + 100)
                seconds = timed(refreshers[name].run_once)
                times[name] += [seconds] if round_ >= 5 else []
    return ratio(f"a refresh: {rows:,} rows / {SMALL:,} rows", times["big"], times["small"], "≤1.2")


def draws(running: Servers) -> Iterator[Ratio]:
    """Against a draw by HRANDFIELD; uniformity; commands sent while drawing as fast as possible."""
    settings = running.settings("small", 1)
    redis = connect(settings)
    reader = CacheReader(connect(settings))
    reader.get_random_user()
    ours, theirs = [], []
    for _ in range(9):
        theirs.append(timed(lambda: [predecessor_draw(redis) for _ in range(300)]) / 300)
        ours.append(timed(lambda: [reader.get_random_user() for _ in range(30_000)]) / 30_000)
    yield ratio("a random user: HRANDFIELD + HGET + json / ours", theirs, ours, "≥120", unit=1e6, name="µs")
    counts = dict.fromkeys((user["user_id"] for user in reader.users()), 0)
    for _ in range(1_000_000):
        counts[reader.get_random_user()["user_id"]] += 1
    expected = 1_000_000 / len(counts)
    chi_square = sum((count - expected) ** 2 / expected for count in counts.values())
    # 1,143 is the 99.9 % quantile for 999 degrees of freedom.
    yield Ratio("chi-square of 1,000,000 draws of 1,000 users", "99.9 % quantile: 1143", chi_square, "≤1143")
    before, seconds, drawn = commands(redis), 10.0, 0
    fresh = CacheReader(connect(settings))
    until = monotonic() + seconds
    while monotonic() < until:
        fresh.get_random_user()
        drawn += 1
    sent = commands(redis) - before - 1  # the INFO of the first count
    yield Ratio("Redis commands a second", f"{drawn:,} draws in {seconds:.0f} s", sent / seconds, "≤1")


def against_predecessor(running: Servers) -> Ratio:
    """Whole rounds, in turns, on the small database."""
    settings = running.settings("small", 3)
    redis, engine = connect(settings), engine_for(settings, command="benchmark")
    with Refresher(running.settings("small", 1)) as ours:
        ours.run_once()
        times = in_turns({"theirs": lambda: predecessor(engine, redis), "ours": ours.run_once}, 15)
    engine.dispose()
    return ratio("a round: an UPDATE and an HSET per row / ours", times["theirs"], times["ours"], "≥6")


def ageing(running: Servers, database: str, rounds: int) -> Ratio:
    """`rounds` on one of two copies, then both in turns.

    Rounds without a pause leave autovacuum no time, so VACUUM runs when the migration's threshold would start it.
    """
    with running.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE aged TEMPLATE {database} STRATEGY file_copy")
    with Refresher(running.settings("aged", 4)) as aged, Refresher(running.settings(database, 5)) as new:
        with running.cursor("aged") as cursor:
            for number in range(rounds):
                aged.run_once()
                if number % VACUUM_EVERY == VACUUM_EVERY - 1 and number + VACUUM_EVERY < rounds:
                    cursor.execute("VACUUM users, products")
            cursor.execute("CHECKPOINT")
        new.run_once()
        times = in_turns({"aged": aged.run_once, "new": new.run_once}, 50)
    with running.cursor() as cursor:
        cursor.execute("DROP DATABASE aged WITH (FORCE)")
    return ratio(f"{database}: after {rounds} rounds / the first 50", times["aged"], times["new"], "≤1.2")


def against_seed(running: Servers, rows: int) -> Ratio:
    """SQL and COMMIT of both; theirs without our indexes, as the seed's schema has none."""
    with running.cursor("big") as cursor:
        cursor.execute("VACUUM users, products")
        with Refresher(running.settings("big", 2)) as refresher:
            refresher.run_once()
            ours = [timed(refresher.run_once) for _ in range(15)]
        for table in ("users", "products"):
            cursor.execute(f"DROP INDEX ix_{table}_never_cached, ix_{table}_last_cached_at")
    with running.cursor("big", autocommit=False) as cursor:
        seed_sql(cursor)
        theirs = [timed(lambda: (seed_sql(cursor), cursor.connection.commit())) for _ in range(5)]
    return ratio(f"{rows:,} rows: the seed's SQL without indexes / a whole round of ours", theirs, ours, "≥30")


def in_turns(actions: dict[str, Callable[[], Any]], count: int) -> dict[str, list[float]]:
    """Seconds of each action, one after the other, so that what disturbs disturbs all."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(count):
        for name, action in actions.items():
            times[name].append(timed(action))
    return times


def timed(action: Callable[[], Any]) -> float:
    """Seconds."""
    start = perf_counter()
    action()
    return perf_counter() - start


def ratio(claim: str, over: list[float], under: list[float], target: str, unit: float = 1e3, name: str = "ms") -> Ratio:
    """Of the medians."""
    above, below = statistics.median(over), statistics.median(under)
    return Ratio(claim, f"{above * unit:.4g} / {below * unit:.4g} {name}", above / below, target)


def commands(redis: Any) -> int:
    """How many the server has run, connections' own greetings aside."""
    stats = redis.info("commandstats")
    greetings = ("cmdstat_client", "cmdstat_select")
    return sum(entry["calls"] for name, entry in stats.items() if not name.startswith(greetings))


if __name__ == "__main__":
    main()
