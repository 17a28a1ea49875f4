"""What no consumer can pass: PostgreSQL's own COPY from a file, and reading Kafka without storing."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.measuring import Bench, Run
from benchmarks.processor import per_row
from sesacctl.database.connections import connect


class Copies:
    """The rows in files that the server reads, as one and in two parts."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self._bench, self._folder = bench, folder
        for backends in (1, 2):
            for part in range(backends):
                rows = f"SELECT * FROM orders WHERE (hashtext(order_id) & 1023) % {backends} = {part}"
                bench.execute(f"COPY ({rows}) TO '{self._file(backends, part)}' (FORMAT binary)")

    def run(self, backends: int) -> Run:
        """`COPY orders FROM` in as many sessions, from the statement to the last COMMIT; brokers are idle.

        Somebody counts rows meanwhile, as with everybody else.
        """
        bench = self._bench
        bench.empty()
        sessions = [connect(bench.settings, command="benchmark", bound=600) for _ in range(backends)]
        try:
            with ThreadPoolExecutor(backends) as threads:
                before, begin = bench.meter.read([]), time.monotonic()
                ends = [threads.submit(self._copy, session, backends, part) for part, session in enumerate(sessions)]
                bench.wait_for_rows(bench.orders)
                end = max(future.result() for future in ends)
            return Run(bench.orders / (end - begin), per_row(before, bench.meter.read([]), bench.orders))
        finally:
            for session in sessions:
                session.close()

    def _copy(self, session: Any, backends: int, part: int) -> float:
        with session, session.cursor() as cursor:
            cursor.execute(f"COPY orders FROM '{self._file(backends, part)}' (FORMAT binary)")
        return time.monotonic()

    def _file(self, backends: int, part: int) -> Path:
        return self._folder / f"{backends}-{part}"


@contextmanager
def copies(bench: Bench) -> Iterator[Copies]:
    """Files of the rows that are in the table now."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)  # PostgreSQL may run as somebody else
        yield Copies(bench, folder)


def read(bench: Bench, python: Path) -> Run:
    """librdkafka reads all orders several times on open connections and drops them."""
    command = [str(python), "-m", "benchmarks.peers.reader", str(bench.orders)]
    before = bench.meter.read([])
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        after = bench.meter.read([process.pid])
        process.stdin.close()
    rows, rate = line.split()
    return Run(float(rate), per_row(before, after, int(rows)))
