"""`python -m benchmarks.seed [--rows 200000]`: `db seed` against `execute_values` on the same rows, in one run."""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from time import perf_counter

from psycopg2.extras import execute_values

from benchmarks.servers import Servers, servers
from sesacctl.database.samples import seed
from sesacctl.database.schema import revisions
from sesacctl.settings import Settings

TARGET = 5.0
# Peak memory of a process that seeds: `ru_maxrss` never falls, so each size needs a process of its own.
_MEMORY = """
import resource, sys
from sesacctl.database.samples import seed
from sesacctl.settings import Settings
count = int(sys.argv[2])
seed.seed(Settings.model_validate_json(sys.argv[1]), users=count, products=count, append=True)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def main() -> None:
    """Print rates, their ratio and the memory; exit 5 if the target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seed", description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000, help="users, and as many products, a round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each, in turn")
    options = parser.parse_args()
    with servers() as running:
        with running.cursor() as cursor:
            cursor.execute("CREATE DATABASE seed")
        settings = running.settings("seed")
        revisions.upgrade(settings)
        ratio = compare(running, settings, options.rows, options.rounds)
        for rows in (options.rows // 10, options.rows * 5):
            print(f"peak memory for {2 * rows:>12,} rows: {memory(settings, rows)} MB", flush=True)
    sys.exit(0 if ratio >= TARGET else 5)


def compare(running: Servers, settings: Settings, rows: int, rounds: int) -> float:
    """The ratio of the medians of interleaved rounds; both make their rows, commit, and leave the same tables."""
    rates: dict[str, list[float]] = {"db seed": [], "execute_values": []}
    contents = set()
    for _ in range(rounds):
        for name, load in (
            ("db seed", lambda: seed.seed(settings, users=rows, products=rows)),
            ("execute_values", lambda: with_execute_values(running, rows)),
        ):
            started = perf_counter()
            load()
            rates[name].append(2 * rows / (perf_counter() - started))
            contents.add(clear(running))
    assert len(contents) == 1, "the two did not store the same rows"
    for name, values in rates.items():
        print(f"{name:16}{statistics.median(values):12,.0f} rows/s   of {[round(value) for value in values]}")
    ratio = statistics.median(rates["db seed"]) / statistics.median(rates["execute_values"])
    print(f"ratio {ratio:.1f} (target {TARGET})", flush=True)
    return ratio


def with_execute_values(running: Servers, rows: int) -> None:
    """The usual way to insert many rows with psycopg2."""
    with running.cursor("seed", autocommit=False) as cursor:
        for table in seed.TABLES:
            statement = f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES %s"
            execute_values(cursor, statement, table.rows(1, rows, seed.RANDOM_SEED), page_size=1_000)
        cursor.connection.commit()
        cursor.execute("ANALYZE users, products")
        cursor.connection.commit()


def clear(running: Servers) -> str:
    """Empty the tables; a fingerprint of what was in them."""
    with running.cursor("seed") as cursor:
        sums = ", ".join(
            f"(SELECT sum(hashtextextended(ROW({', '.join(table.columns)})::text, 0)) FROM {table.name})"
            for table in seed.TABLES
        )
        cursor.execute(f"SELECT {sums}")
        fingerprint = str(cursor.fetchone())
        cursor.execute("TRUNCATE users, products CASCADE")
        cursor.execute("CHECKPOINT")
    return fingerprint


def memory(settings: Settings, rows: int) -> int:
    """Peak memory in MB of a process that seeds `rows` users and as many products."""
    arguments = [sys.executable, "-c", _MEMORY, settings.model_dump_json(), str(rows)]
    return int(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)


if __name__ == "__main__":
    main()
