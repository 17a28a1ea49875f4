"""How `sesacctl consume` grows: over processes, partitions, the backlog, and the rows that are in the table."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Event
from uuid import uuid4

from benchmarks.consume import prepare, produce
from benchmarks.growth_report import Series, steps
from benchmarks.measuring import execute
from benchmarks.memory import Peak
from sesacctl.broker import topics
from sesacctl.broker.clients import admin_client
from sesacctl.database.connections import connect
from sesacctl.database.cursors import fetch_row
from sesacctl.events import ORDERS
from sesacctl.settings import Settings

RATE, SECONDS, PROCESSOR, MEMORY = "rows stored", "start to last row", "processor, a row", "memory of all"
PANELS = {"rows/s": [RATE], "s": [SECONDS], "µs": [PROCESSOR], "MB": [MEMORY]}
LIMIT = 600.0
LOOK_SECONDS = 0.02
FROM = 0.1  # of the orders: until then not every process has begun


@dataclass(frozen=True)
class Plan:
    """How far a series goes: the largest point, the orders of those that do not vary them, rounds, seconds."""

    most: int
    orders: int
    rounds: int
    seconds: float


def filled(settings: Settings, series: Series, plan: Plan) -> Iterator[int]:
    """10,000 to `most`, as far as the time goes, each once so many orders are in Kafka."""
    there = 0
    for number, count in enumerate(series.walk(steps(10_000, plan.most), plan.seconds)):
        if there:
            produce(settings, count - there, random_seed=number + 1)
        else:
            prepare(settings, count)
        there = count
        yield count


def drain(settings: Settings, instances: int, orders: int) -> dict[str, float]:
    """The measures of a new group that stores everything in the topic, from its first record."""
    group = f"growth-{uuid4()}"
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "sesacctl", "consume", "-n", str(instances), "-q", "--group", group],
        env={**os.environ, "KAFKA_TOPIC_PREFIX": settings.kafka_topic_prefix},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with Peak(process) as peak:
            (first, before), (last, stored) = _reached(settings, group, (max(1, int(FROM * orders)), orders))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
    assert stored == orders, f"{stored} orders of {orders}"
    rate = (stored - before) / (last - first) if stored > before else 0.0
    used = 1e6 * peak.processor / orders
    return {RATE: rate, SECONDS: last - began, PROCESSOR: used, MEMORY: peak.megabytes}


def _reached(settings: Settings, group: str, wanted: tuple[int, int]) -> list[tuple[float, int]]:
    """When there were at least as many as each, and how many there were: asked of the counters, as rows take long."""
    found: list[tuple[float, int]] = []
    deadline = time.monotonic() + LIMIT
    connection = connect(settings, command="benchmark")
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            for least in wanted:
                stored = 0
                while stored < least:
                    assert time.monotonic() < deadline, f"{stored} orders of {least}"
                    Event().wait(LOOK_SECONDS)
                    cursor.execute(
                        "SELECT coalesce(sum(stored), 0)::bigint FROM sink_offsets"
                        " WHERE consumer_group = %s AND topic = %s",
                        (group, settings.topic(ORDERS)),
                    )
                    stored = int(fetch_row(cursor)[0])
                found.append((time.monotonic(), stored))
    finally:
        connection.close()
    return found


def _rounds(settings: Settings, plan: Plan, instances: int, orders: int) -> list[dict[str, float]]:
    """Of one point; each finds a table without orders."""
    found = []
    for _ in range(plan.rounds):
        execute(settings, "TRUNCATE orders")
        execute(settings, "CHECKPOINT")
        found.append(drain(settings, instances, orders))
    return found


def processes(settings: Settings, plan: Plan) -> Series:
    """One to `most` processes, the same orders."""
    prepare(settings, plan.orders)
    series = Series("processes", f"consume: processes, {plan.orders:,} orders", "processes", PANELS)
    for count in series.walk(steps(1, plan.most, 1.7), plan.seconds):
        series.add(count, _rounds(settings, plan, count, plan.orders))
    return series


def partitions(settings: Settings, plan: Plan) -> Series:
    """Topics of their own with 9 to `most` partitions of orders, two processes."""
    prepare(settings, 1)
    title = f"consume: partitions of orders, 2 processes, {plan.orders:,} orders"
    series = Series("partitions", title, "partitions", PANELS)
    for number, count in enumerate(series.walk(steps(9, plan.most, 2), plan.seconds)):
        mine = settings.model_copy(update={"kafka_topic_prefix": f"p{count}-"})
        topics.init(mine)
        if count > 9:
            with admin_client(mine) as client:
                client.create_partitions({mine.topic(ORDERS): count})
        produce(mine, plan.orders, random_seed=number + 2)
        series.add(count, _rounds(mine, plan, 2, plan.orders))
    return series


def backlog(settings: Settings, plan: Plan) -> Series:
    """10,000 to `most` orders that wait in Kafka, two processes."""
    series = Series("backlog", "consume: orders that wait in Kafka, 2 processes", "orders", PANELS)
    for count in filled(settings, series, plan):
        series.add(count, _rounds(settings, plan, 2, count))
    return series


def table(settings: Settings, plan: Plan) -> Series:
    """100,000 to `most` orders in PostgreSQL already, with ids as random as those of new ones; two processes."""
    prepare(settings, plan.orders)
    title = f"consume: orders in the table, 2 processes, {plan.orders:,} orders more"
    series = Series("table", title, "rows", PANELS)
    there = 0
    for count in series.walk(steps(100_000, plan.most), plan.seconds):
        _fill(settings, there + 1, count)
        there = count
        found = []
        for _ in range(plan.rounds):
            found.append(drain(settings, 2, plan.orders))
            execute(settings, "DELETE FROM orders WHERE created_at > '2001-01-01'")
            execute(settings, "VACUUM orders")
        series.add(count, found)
    return series


def _fill(settings: Settings, first: int, last: int) -> None:
    """Orders number `first` to `last`, older than any other; what they refer to is there, so that is not checked."""
    execute(
        settings,
        f"""SET session_replication_role = replica;
        INSERT INTO orders (order_id, user_id, product_id, quantity, total_amount, payment_method, status, category,
            user_region, user_gender, user_age_group, created_at)
        SELECT md5(i::text), u, p, 1, 89000, '카드', 'PENDING', '전자기기', '서울', 'F', '30대', '2000-01-01'
        FROM generate_series({first}, {last}) AS i,
            (SELECT min(user_id) FROM users) AS a(u), (SELECT min(product_id) FROM products) AS b(p)""",
    )
    execute(settings, "VACUUM ANALYZE orders")
    execute(settings, "CHECKPOINT")
