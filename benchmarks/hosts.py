"""`python -m benchmarks.hosts`: what more hosts, more backends and more of everything come to.

First who owns what: partitions of `orders` on each of one to five hosts of nine instances, by kafka-python's
round-robin assignor and by ours, and how many move in a rolling restart. Then rates: one, two and three hosts (network
namespaces with a broker each; PostgreSQL is on none of them) store the same orders, in turn; and one and two backends
of PostgreSQL copy the same rows from a file into the same table with its keys, which is what the server itself can do.
Needs the right to make network namespaces.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sesacctl.broker.kafka_python.assignor import GroupMember, share
from tests.faults.hosts import COUNT, Hosts, why_not
from tests.faults.site import Load, Site, on_own_stack
from tests.faults.stack_control import OwnStack
from tests.helpers.waiting import wait_until

TOPICS = {"orders": range(9), "users": range(3), "products": range(3)}
INSTANCES = 9
_SECONDS = 300.0
_FROM, _UPTO = 0.1, 0.9  # of the orders: starts and ends do not count


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hosts", description=__doc__)
    parser.add_argument("--orders", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ownership()
    if reason := why_not():
        sys.exit(f"no rates, as {reason}")
    home = Path(tempfile.mkdtemp(prefix="sesacctl-benchmark-"))
    own, hosts = OwnStack(home / ".sesac"), Hosts()
    try:
        own.up()
        hosts.create()
        own.spread(hosts)
        site = on_own_stack(home / "site", own, Load(instances=INSTANCES, users=3000, products=2000))
        try:
            rates(site, hosts, options.orders, options.rounds)
        finally:
            site.close()
    finally:
        own.close()
        shutil.rmtree(home, ignore_errors=True)


# ---- who owns what


def ownership() -> None:
    """The table of shares, and of what moves."""
    print("hosts   round-robin         by host             moves in a rolling restart")
    for count in range(1, 6):
        members = _members(count)
        before = _shares(_round_robin(members), count)
        placed = share(members, TOPICS)
        print(f"{count:5}   {before:<20}{_shares(placed, count):<20}{_rolling_restart(count)}")


def _members(hosts: int) -> list[GroupMember]:
    return [
        GroupMember(id=f"h{host}-{number}", topics=frozenset(TOPICS), instance_id=f"h{host}-{number}")
        for host in range(hosts)
        for number in range(INSTANCES)
    ]


def _round_robin(members: Sequence[GroupMember]) -> dict[str, set[tuple[str, int]]]:
    """Partitions in the order of their names to members in the order of their ids, as kafka-python's does."""
    partitions = sorted((topic, number) for topic, numbers in TOPICS.items() for number in numbers)
    found: dict[str, set[tuple[str, int]]] = {member.id: set() for member in members}
    for place, partition in enumerate(partitions):
        found[members[place % len(members)].id].add(partition)
    return found


def _shares(placed: dict[str, set[tuple[str, int]]], hosts: int) -> str:
    counts = [
        sum(topic == "orders" for name, owned in placed.items() if name.startswith(f"h{host}-") for topic, _ in owned)
        for host in range(hosts)
    ]
    return "+".join(map(str, counts))


def _rolling_restart(hosts: int) -> int:
    """Partitions that change hands while each host leaves and comes back in turn, beside the two changes of its own."""
    members, moves, generation = _members(hosts), 0, 1
    placed = share(members, TOPICS)
    for host in range(hosts):
        away = [member for member in members if member.host != f"h{host}"]
        for group in (away, members) if away else (members,):
            generation += 1
            claims = [
                replace(member, owned=frozenset(placed.get(member.id, ())), generation=generation) for member in group
            ]
            again = share(claims, TOPICS)
            stayed = [member.id for member in group if member.host != f"h{host}"]
            moves += sum(len(placed[name] - again[name]) for name in stayed if name in placed)
            placed = again
    return moves


# ---- rates


def rates(site: Site, hosts: Hosts, orders: int, rounds: int) -> None:
    """The medians of interleaved rounds."""
    site.prepare()
    site.must("produce", "--count", orders, "--new-users", 0, "--new-products", 0, "-q")
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for count in range(1, COUNT + 1):
            found.setdefault(f"{count} host{'s' * (count > 1)}", []).append(_stored(site, hosts, count, orders))
        for backends in (1, 2):
            found.setdefault(f"COPY, {backends} backend{'s' * (backends > 1)}", []).append(_copied(site, backends))
    for name, values in found.items():
        shown = ", ".join(f"{value:,.0f}" for value in values)
        print(f"{name:<20}{statistics.median(values):12,.0f} orders/s   of {shown}", flush=True)
    _sizes(site, hosts, orders)


def _sizes(site: Site, hosts: Hosts, orders: int) -> None:
    """Bytes for each order, of one more round: in Kafka for each replica, in PostgreSQL, in its write-ahead log."""
    [(before,)] = site.query("SELECT pg_current_wal_lsn()")
    _stored(site, hosts, 1, orders)
    [(log, table)] = site.query(
        "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), %s)::bigint, pg_total_relation_size('orders')", before
    )
    assert site.own is not None
    files = (site.own.home / "data" / "kafka-1").glob("orders-*/*.log")
    for name, size in {"Kafka": sum(path.stat().st_size for path in files), "table": table, "WAL": log}.items():
        print(f"{name:<20}{size / orders:12,.0f} bytes an order")


def _stored(site: Site, hosts: Hosts, count: int, orders: int) -> float:
    site.query("TRUNCATE orders, sink_offsets, row_changes")
    running = []
    for number in range(count):
        with hosts.within(number):
            running.append(
                subprocess.Popen(
                    [sys.executable, "-m", "sesacctl", "consume", "-n", str(INSTANCES), "-q"],
                    env={**site.environment, "SESAC_HOME": str(site.folder / f"home{number}")},
                    stdout=subprocess.DEVNULL,
                )
            )
    try:
        at = {share: _reached(site, share * orders) for share in (_FROM, _UPTO)}
        _reached(site, orders)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait(60)
    (first, began), (last, ended) = at[_FROM], at[_UPTO]
    return (last - first) / (ended - began)


def _reached(site: Site, wanted: float) -> tuple[int, float]:
    """How many are stored once there are that many, and when."""

    def look() -> tuple[int, float] | None:
        [(stored,)] = site.query("SELECT coalesce(sum(stored), 0)::bigint FROM sink_offsets WHERE topic = 'orders'")
        return (stored, time.monotonic()) if stored >= wanted else None

    reached = wait_until(look, _SECONDS, "the orders are not stored")
    assert reached is not None
    return reached


def _copied(site: Site, backends: int) -> float:
    """The rows of the last round, from files that the server reads, as fast as it can."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        for part in range(backends):
            site.query(
                "COPY (SELECT * FROM orders WHERE (hashtext(order_id) & 1023) %% %s = %s) TO %s",
                backends,
                part,
                str(folder / str(part)),
            )
        [(rows,)] = site.query("SELECT count(*) FROM orders")
        site.query("TRUNCATE orders")
        began = time.monotonic()
        statement = "COPY orders FROM '{}'"
        copies = [
            subprocess.Popen(
                [sys.executable, "-c", _COPY, str(site.address.postgres["host"]), str(site.address.postgres["dbname"]),
                 statement.format(folder / str(part))],
            )
            for part in range(backends)
        ]  # fmt: skip
        assert [process.wait(_SECONDS) for process in copies] == [0] * backends
        return float(rows / (time.monotonic() - began))


_COPY = """
import sys, psycopg2
connection = psycopg2.connect(host=sys.argv[1], user="postgres", dbname=sys.argv[2])
with connection, connection.cursor() as cursor:
    cursor.execute(sys.argv[3])
"""

if __name__ == "__main__":
    main()
