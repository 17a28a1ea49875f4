"""`python -m benchmarks.produce`: orders a second into three brokers, acks=all and idempotent, in one interleaved run.

Ours makes its orders from the cache, encodes, sends and checks the acknowledgement of each; the others get theirs made
and encoded. aiokafka takes part where `pip install aiokafka[zstd]` has been run.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from kafka import KafkaProducer

from sesacctl import settings as settings_module
from sesacctl.broker import topics
from sesacctl.broker.clients import LINGER_MS
from sesacctl.cache.client import CacheReader, connect
from sesacctl.cache.snapshot import publish
from sesacctl.database.samples import generate as samples
from sesacctl.events import OrderEvent, encode
from sesacctl.pipeline.produce.orders import OrderMaker
from sesacctl.pipeline.produce.producer import ProducePlan, Producer
from sesacctl.settings import Settings
from sesacctl.stack import stack

ROWS = 1000
Records = list[tuple[bytes, bytes]]


def main() -> None:
    """Print the table; exit 5 if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.produce", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="how often each takes its turn")
    parser.add_argument("--orders", type=int, default=30_000, help="orders in a turn of the fast ones")
    parser.add_argument("--memory-orders", type=int, default=1_000_000, help="orders for the look at memory; 0: none")
    parser.add_argument("--pace-seconds", type=float, default=20.0, help="for how long to hold 500 orders a second")
    options = parser.parse_args()
    with brokers() as settings:
        missed = [*compare(settings, options.rounds, options.orders)]
        if options.pace_seconds:
            missed += [pace(settings, options.pace_seconds)]
        if options.memory_orders:
            missed += [memory(settings, options.memory_orders)]
    sys.exit(5 if any(missed) else 0)


@contextmanager
def brokers() -> Iterator[Settings]:
    """A stack of the benchmark's own with a full cache and the topics, thrown away at the end."""
    home = Path(tempfile.mkdtemp(prefix="sesac-")) / ".sesac"
    try:
        environment = stack.up(home, on_step=say).environment
        settings = settings_module.load(**{name.lower(): value for name, value in environment.items()})
        random, now = Random(1), datetime.now(UTC).isoformat()
        users = [samples.make_user(random) for _ in range(ROWS)]
        products = [samples.make_product(random) for _ in range(ROWS)]
        rows = {
            "users": {row["user_id"]: json.dumps(row | {"created_at": now}, default=str) for row in users},
            "products": {row["product_id"]: json.dumps(row | {"created_at": now}, default=str) for row in products},
        }
        publish(connect(settings), rows, at=datetime.now(UTC), plan={})  # type: ignore[arg-type]
        topics.init(settings)
        yield settings
    finally:
        stack.down(home, purge=True, on_step=say)
        shutil.rmtree(home.parent)


def compare(settings: Settings, rounds: int, orders: int) -> Iterator[bool]:
    """Everybody in turns; whether each target was missed."""
    records = made(settings, orders)
    topic = settings.topic("orders")
    turns: dict[str, tuple[Callable[[Records], float], int]] = {
        "sesacctl produce, orders made and all": (lambda part: ours(settings, len(part)), orders),
        "kafka-python, default settings": (lambda part: default(settings, topic, part), orders // 3),
        "kafka-python, one synchronous send at a time": (lambda part: one_at_a_time(settings, topic, part), 200),
    }
    targets = {"kafka-python, default settings": 2.5, "kafka-python, one synchronous send at a time": 40.0}
    if importlib.util.find_spec("aiokafka"):
        options = {"linger_ms": LINGER_MS, "max_batch_size": 256 * 1024, "compression_type": "zstd"}
        turns["aiokafka, idempotent"] = (lambda part: aiokafka(settings, topic, part, {}), orders // 2)
        turns["aiokafka, with our linger, batches and zstd"] = (
            lambda part: aiokafka(settings, topic, part, options),
            orders // 2,
        )
        targets |= {"aiokafka, idempotent": 0.6, "aiokafka, with our linger, batches and zstd": 0.6}
    rates: dict[str, list[float]] = {name: [] for name in turns}
    for number in range(rounds + 1):
        for name, (run, count) in turns.items():
            seconds = run(records[:count])
            if number:  # the first is to warm up
                rates[name].append(count / seconds)
        say(f"round {number} of {rounds}")
    best = statistics.median(next(iter(rates.values())))
    print(f"{'':48}{'orders/s':>10}{'ours is':>10}{'target':>9}")
    for name, measured in rates.items():
        rate, target = statistics.median(measured), targets.get(name)
        missed = target is not None and best / rate < target
        times = f"{best / rate:9.2f}x{f'≥{target:g}x':>9}" if target else ""
        print(f"{name:48}{rate:10,.0f}{times}{'  MISSED' if missed else ''}", flush=True)
        yield missed


def made(settings: Settings, count: int) -> Records:
    """Keys and values of orders."""
    reader, maker = CacheReader(connect(settings)), OrderMaker(random=Random(1))
    maker.use(reader.users(), reader.products())
    orders = [order for _ in range(count) for order in maker.cart()]
    return [encode(OrderEvent(timestamp=datetime.now(UTC), order=order))[1:] for order in orders]


def ours(settings: Settings, count: int) -> float:
    """The whole of `sesacctl produce`; like the others, in seconds from the first send to the last acknowledgement."""
    producer = Producer(settings, ProducePlan(count=count, random_seed=1))
    begin = time.perf_counter()
    report = producer.run(threading.Event())
    assert report.acknowledged == report.sent >= count
    return time.perf_counter() - begin


def default(settings: Settings, topic: str, records: Records) -> float:
    """Its defaults are acks=all and idempotent."""
    producer = KafkaProducer(bootstrap_servers=settings.brokers)
    producer.partitions_for(topic)
    begin = time.perf_counter()
    futures = [producer.send(topic, key=key, value=value) for key, value in records]
    producer.flush()
    assert all(future.succeeded() for future in futures)
    seconds = time.perf_counter() - begin
    producer.close()
    return seconds


def one_at_a_time(settings: Settings, topic: str, records: Records) -> float:
    """As the first version of every producer does it."""
    producer = KafkaProducer(bootstrap_servers=settings.brokers)
    producer.partitions_for(topic)
    begin = time.perf_counter()
    for key, value in records:
        producer.send(topic, key=key, value=value).get(timeout=30)
    seconds = time.perf_counter() - begin
    producer.close()
    return seconds


def aiokafka(settings: Settings, topic: str, records: Records, options: dict[str, Any]) -> float:
    """Its record batches are built in C."""
    from aiokafka import AIOKafkaProducer  # type: ignore[import-not-found, unused-ignore]

    async def run() -> float:
        producer = AIOKafkaProducer(
            bootstrap_servers=settings.kafka_bootstrap_servers, enable_idempotence=True, acks="all", **options
        )
        await producer.start()
        await producer.partitions_for(topic)
        begin = time.perf_counter()
        await asyncio.gather(*[await producer.send(topic, key=key, value=value) for key, value in records])
        seconds = time.perf_counter() - begin
        await producer.stop()
        return seconds

    return asyncio.run(run())


def pace(settings: Settings, seconds: float) -> bool:
    """Hold 500 orders a second; whether the rate was missed by more than 1 %."""
    report = Producer(settings, ProducePlan(rate=500, seconds=seconds, random_seed=1)).run(threading.Event())
    missed = abs(report.rate - 500) > 5
    print(
        f"--rate 500 for {seconds:g} s: {report.rate:.1f} orders/s (target 495 to 505), acknowledged within"
        f" p50 {report.ack_p50_ms} ms, p99 {report.ack_p99_ms} ms{'  MISSED' if missed else ''}",
        flush=True,
    )
    return missed


def memory(settings: Settings, orders: int) -> bool:
    """Resident memory in the first and the last fifth of the orders; whether it grew by more than 5 %."""
    sizes: list[tuple[int, int]] = []

    def look(count: int) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        sizes.append((count, pages * 4096))

    report = Producer(settings, ProducePlan(count=orders, random_seed=1)).run(
        threading.Event(), on_report=lambda report: look(report.orders), interval=0.5
    )
    look(report.orders)
    first = max((size for count, size in sizes if count <= orders // 5), default=sizes[0][1])
    last = max(size for count, size in sizes if count >= orders * 4 // 5)
    missed = last / first > 1.05
    print(
        f"{orders:,} orders at {report.rate:,.0f}/s: {first / 1e6:.0f} MB in their first fifth, {last / 1e6:.0f} MB in"
        f" the last: {last / first:.3f}x (target ≤1.05x){'  MISSED' if missed else ''}",
        flush=True,
    )
    return missed


def say(message: str) -> None:
    """Progress, on stderr."""
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
