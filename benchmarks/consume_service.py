"""Nine consumers as a service: until they have all partitions, at rest, after a `kill -9`, and at a steady rate.

Part of `python -m benchmarks.consume`. Processor time and memory are those of the supervisor, its fork server and all
instances; memory is the proportional set size, in which what processes share counts once.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Any
from uuid import uuid4

import psutil

from sesacctl.events import ORDERS, PARTITIONS
from sesacctl.pipeline.audit.report import audit
from sesacctl.pipeline.produce.producer import ProducePlan, Producer
from sesacctl.settings import Settings
from tests.helpers.events import message, order, query, send
from tests.helpers.waiting import wait_until

INSTANCES = 9
SETTLE_SECONDS, REST_SECONDS = 5.0, 20.0
RATE, RATE_SECONDS = 500, 20.0


@dataclass(frozen=True)
class Figure:
    """One result, and the most that it may be."""

    name: str
    value: float
    unit: str
    most: float

    @property
    def missed(self) -> bool:
        """Whether it is more."""
        return self.value > self.most


def measure(settings: Settings) -> list[Figure]:
    """All figures; the topics are drained first."""
    begin = time.monotonic()
    with consuming(f"bench-{uuid4()}") as consumers:
        wait_until(lambda: _taken_up(settings, consumers.group) == sum(PARTITIONS.values()), 60, "partitions")
        assigned = time.monotonic() - begin
        wait_until(lambda: _lag(settings, consumers.group) == 0, 300, "the topics are not drained")
        after_work = _memory(consumers.process)
    with consuming(consumers.group) as consumers:
        cpu, memory = _at_rest(consumers.process)
        back, moved = _after_a_kill(settings, consumers)
    p50, p99 = _latency(settings, consumers.group)
    return [
        Figure("all partitions taken up", assigned, "s", most=4.0),
        Figure("processor at rest", cpu, "% of a core", most=6.0),
        Figure("memory at rest", memory, "MB", most=250.0),
        Figure("memory after a drain", after_work, "MB", most=math.inf),
        Figure("stores again after kill -9", back, "s", most=2.0),
        Figure("other instances' partitions that moved", moved, "", most=0.0),
        Figure(f"p50 from record to COMMIT at {RATE}/s", p50, "ms", most=30.0),
        Figure(f"p99 from record to COMMIT at {RATE}/s", p99, "ms", most=150.0),
    ]


class Consumers:
    """`sesacctl consume` at work."""

    def __init__(self, group: str) -> None:
        self.group = group
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sesacctl", "consume", "-n", str(INSTANCES), "-q", "-o", "jsonl", "--group", group],
            stdout=subprocess.PIPE,
            text=True,
        )

    def report(self) -> dict[str, Any]:
        """The next line that it prints."""
        assert self.process.stdout is not None
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found

    def stop(self) -> dict[str, Any]:
        """Drain; its last words."""
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=60)
        found: dict[str, Any] = json.loads(output.splitlines()[-1])
        return found


@contextmanager
def consuming(group: str) -> Iterator[Consumers]:
    """Nine instances until the end of the block."""
    consumers = Consumers(group)
    try:
        yield consumers
    finally:
        if consumers.process.poll() is None:
            consumers.stop()


def _taken_up(settings: Settings, group: str) -> int:
    return int(query(settings, "SELECT count(*) FROM sink_offsets WHERE consumer_group = %s", group)[0][0])


def _lag(settings: Settings, group: str) -> int:
    return audit(settings.model_copy(update={"kafka_group": group})).lag


def _processes(root: subprocess.Popen[str]) -> list[psutil.Process]:
    supervisor = psutil.Process(root.pid)
    return [supervisor, *supervisor.children(recursive=True)]


def _at_rest(process: subprocess.Popen[str]) -> tuple[float, float]:
    """Per cent of a core, and megabytes."""
    Event().wait(SETTLE_SECONDS)  # so that the start does not count
    processes = _processes(process)
    before = sum(sum(each.cpu_times()[:2]) for each in processes)
    begin = time.monotonic()
    Event().wait(REST_SECONDS)
    used = sum(sum(each.cpu_times()[:2]) for each in processes) - before
    return 100 * used / (time.monotonic() - begin), _memory(process)


def _memory(process: subprocess.Popen[str]) -> float:
    """Megabytes."""
    return sum(float(each.memory_full_info().pss) for each in _processes(process)) / 1e6


def _after_a_kill(settings: Settings, consumers: Consumers) -> tuple[float, int]:
    """Seconds from the kill to the first order stored by the new process; partitions that others lost or got."""
    before = consumers.report()["instances"]
    victim = next(line for line in before if any(f"{ORDERS}-" in name for name in line["partitions"]))
    [partition] = [int(name.rpartition("-")[2]) for name in victim["partitions"] if f"{ORDERS}-" in name]
    begin = time.monotonic()
    os.kill(victim["pid"], signal.SIGKILL)
    send(settings, ORDERS, [message(order(1, user_id="u_00000001", product_id="p_00000001"))], partition=partition)
    wait_until(lambda: _lag(settings, consumers.group) == 0, 60, "it does not come back")
    back = time.monotonic() - begin
    after = before
    while victim["pid"] in {line["pid"] for line in after} or not all(line["partitions"] for line in after):
        after = consumers.report()["instances"]
    others = [(old, new) for old, new in zip(before, after, strict=True) if old["instance"] != victim["instance"]]
    return back, sum(len(set(old["partitions"]) ^ set(new["partitions"])) for old, new in others)


def _latency(settings: Settings, group: str) -> tuple[float, float]:
    """The median and the 99th percentile, in milliseconds."""
    with consuming(group) as consumers:
        wait_until(lambda: all(line["partitions"] for line in consumers.report()["instances"]), 60, "partitions")
        Producer(settings, ProducePlan(rate=RATE, seconds=RATE_SECONDS, random_seed=1)).run(Event())
        wait_until(lambda: _lag(settings, group) == 0, 60, "the topics are not drained")
        last = consumers.stop()
    return last["latency_p50_ms"], last["latency_p99_ms"]
