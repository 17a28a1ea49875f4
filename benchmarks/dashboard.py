"""`python -m benchmarks.dashboard [--seconds 20]`: what the dashboard costs with 0, 1, 10 and 100 browsers.

Beside a loop of nine consumers and 200 orders a second on a local stack of its own. A browser is a client that reads
the stream of looks; the age of an event is from the look itself to the client that has read it. Prints a line for each
number of browsers; exits 5 if ten cost more than 3 % of a core, or events are older than 1.5 s (p99) with any number.
"""

from __future__ import annotations

import argparse
import json
import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psutil

from benchmarks.servers import local_stack
from tests.helpers.waiting import wait_until

BROWSERS = (0, 1, 10, 100)
SETTLE_SECONDS = 5.0
RATE = 200
MOST_PERCENT, MOST_AGE = 3.0, 1.5  # with ten browsers; with any


@dataclass(slots=True)
class Browser:
    """A stream of looks over a socket."""

    connection: socket.socket
    rest: bytes = b""
    ages: list[float] = field(default_factory=list)

    def read(self) -> None:
        """Take in what has come, and note how old it is."""
        self.rest += self.connection.recv(1 << 20)
        *messages, self.rest = self.rest.split(b"\r\n\r\n")
        now = datetime.now(UTC)
        for message in messages:
            if (found := re.search(rb"^data: (.*)$", message, re.MULTILINE)) is not None:
                at = datetime.fromisoformat(json.loads(found[1])["at"])
                self.ages.append((now - at).total_seconds())


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Percent of a core, bytes in memory, and seconds of the ages; `looks` is how many each browser got a second."""

    browsers: int
    percent: float
    rss: int
    looks: float
    p50: float | None
    p99: float | None

    @property
    def missed(self) -> bool:
        """Whether it is more than promised."""
        return (self.browsers == 10 and self.percent > MOST_PERCENT) or (self.p99 or 0.0) > MOST_AGE


def main() -> None:
    """Measure each number of browsers; exit 5 if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dashboard", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="for each number of browsers")
    options = parser.parse_args()
    with local_stack(), looping(), dashboard() as (process, port):
        costs = [measure(process, port, number, options.seconds) for number in BROWSERS]
    sys.exit(5 if any(cost.missed for cost in costs) else 0)


@contextmanager
def looping() -> Iterator[None]:
    """A loop that turns, as child processes."""
    for line in ("db init --with-seed --yes", "topics init", "cache refresh"):
        run(line).wait()
    children = [run(line) for line in ("consume -n 9", "cache refresh --loop 10", f"produce --rate {RATE}")]
    try:
        yield
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait()


def run(line: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "sesacctl", *line.split(), "-q"], stdout=subprocess.DEVNULL)


@contextmanager
def dashboard() -> Iterator[tuple[psutil.Process, int]]:
    """Its process and port."""
    command = [sys.executable, "-m", "sesacctl", "dashboard", "--port", "0"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert running.stderr is not None
        found = re.search(r":(\d+)/", running.stderr.readline())
        assert found is not None
        yield psutil.Process(running.pid), int(found[1])
    finally:
        running.terminate()
        running.wait()


def measure(process: psutil.Process, port: int, browsers: int, seconds: float) -> Cost:
    """What so many browsers cost, once it has settled."""
    with ExitStack() as undo:
        selector = undo.enter_context(selectors.DefaultSelector())
        found = [undo.enter_context(_listening(port)) for _ in range(browsers)]
        for each in found:
            selector.register(each.connection, selectors.EVENT_READ, each)
        _read(selector, SETTLE_SECONDS)
        if browsers:
            wait_until(lambda: _read(selector, 0.1) or all(each.ages for each in found), 60, "the first looks")
        for each in found:
            each.ages.clear()
        before, began = _cpu(process), time.monotonic()
        _read(selector, seconds)
        took = time.monotonic() - began
        ages = sorted(age for each in found for age in each.ages)
        cost = Cost(
            browsers=browsers,
            percent=round(100 * (_cpu(process) - before) / took, 2),
            rss=process.memory_info().rss,
            looks=round(len(ages) / took / browsers, 2) if browsers else 0.0,
            p50=_percentile(ages, 50),
            p99=_percentile(ages, 99),
        )
    ages_text = "" if cost.p50 is None else f"   event age p50 {cost.p50:.3f} s, p99 {cost.p99:.3f} s"
    print(
        f"{browsers:>4} browsers{cost.percent:8.2f} % of a core{cost.rss / 1e6:8.0f} MB"
        f"{cost.looks:7.2f} looks/s each{ages_text}{'   MISSED' if cost.missed else ''}",
        flush=True,
    )
    return cost


@contextmanager
def _listening(port: int) -> Iterator[Browser]:
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
        yield Browser(connection)


def _read(selector: selectors.BaseSelector, seconds: float) -> bool:
    """Take in what comes within this time; False, for who waits for something."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if not selector.get_map():
            time.sleep(left)
            break
        for key, _ in selector.select(left):
            key.data.read()
    return False


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _percentile(values: list[float], percent: float) -> float | None:
    return values[min(len(values) - 1, int(len(values) * percent / 100))] if values else None


if __name__ == "__main__":
    main()
