"""One run of a contender: an empty table, its processes, the clock and the processor time."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any
from uuid import uuid4

from benchmarks.processor import Meter, has_ended, per_row
from sesacctl.database.connections import connect
from sesacctl.database.cursors import fetch_row
from sesacctl.settings import Settings

_SECONDS = 120.0
_LONGEST = 900.0
_PAUSE = 0.1


@dataclass(frozen=True)
class Run:
    """Rows a second, and microseconds of processor time for each row by group."""

    rate: float
    processor: dict[str, float]


class Bench:
    """Where `orders` orders are in Kafka and contenders store them in turn."""

    def __init__(self, settings: Settings, home: Path, orders: int) -> None:
        self.settings, self.home, self.orders = settings, home, orders
        self._observer = connect(settings, command="benchmark", bound=600)
        self._observer.autocommit = True
        self.meter = Meter(home, self._observer.info.backend_pid)

    def close(self) -> None:
        """End its connection."""
        self._observer.close()

    def execute(self, statement: str) -> Any:
        """Run one statement outside a transaction; the first row if it has rows."""
        with self._observer.cursor() as cursor:
            cursor.execute(statement)
            return fetch_row(cursor) if cursor.description else None

    def empty(self) -> None:
        """The table without rows, and nothing left to write from before."""
        self.execute("TRUNCATE orders")
        self.execute("CHECKPOINT")

    def checksum(self) -> str:
        """Of all rows, in the order of their ids."""
        return str(self.execute("SELECT md5(string_agg(o::text, '|' ORDER BY order_id)) FROM orders o")[0])

    def wait_for_rows(self, wanted: int, seconds: float = _SECONDS, *, strict: bool = True) -> tuple[float, int]:
        """The time at which there were `wanted` rows, and how many there were."""
        deadline = time.monotonic() + seconds
        while True:
            rows = int(self.execute("SELECT count(*) FROM orders")[0])
            now = time.monotonic()
            if rows >= wanted or (now >= deadline and not strict):
                return now, rows
            assert now < deadline, f"{rows} rows of {wanted}"
            Event().wait(_PAUSE)

    def stream(
        self, command: Callable[[str], Sequence[str]], processes: int = 1, *, seconds: float | None = None
    ) -> Run:
        """From a third of the rows to the last, or as far from the first one as it comes within `seconds`.

        What all processes have read and made ready before anything of it is stored counts for nobody then. `command`
        consumes with the group that it is given. If all rows appear at once, the clock runs from its start.
        """
        self.empty()
        group = f"bench-{uuid4()}"
        begin = time.monotonic()
        with started([command(group)] * processes) as clients:
            before = self.meter.read(clients)
            first, rows = self.wait_for_rows(1 if seconds else self.orders // 3)
            if rows == self.orders:
                first, rows = begin, 0
            else:
                before = self.meter.read(clients)
            last, stored = self.wait_for_rows(self.orders, seconds or _SECONDS, strict=seconds is None)
            after = self.meter.read(clients)
        return Run((stored - rows) / (last - first), per_row(before, after, stored - rows))

    def step_through(self, command: Callable[[str], Sequence[str]], fill: Callable[[], object] | None) -> Run:
        """As `stream`, of ours, by the offsets that were moved over instead of rows; `fill` puts rows there before."""
        self.empty()
        if fill:
            fill()
            self.execute("CHECKPOINT")
        group = f"bench-{uuid4()}"
        with started([command(group)]) as clients:
            first, moved = self._wait_for_offsets(group, self.orders // 3, clients)
            before = self.meter.read(clients)
            last, end = self._wait_for_offsets(group, self.orders, clients)
            after = self.meter.read(clients)
        return Run((end - moved) / (last - first), per_row(before, after, end - moved))

    def _wait_for_offsets(self, group: str, wanted: int, clients: Sequence[int]) -> tuple[float, int]:
        deadline = time.monotonic() + _LONGEST
        statement = f"SELECT coalesce(sum(next_offset), 0)::bigint FROM sink_offsets WHERE consumer_group = '{group}'"
        while (moved := int(self.execute(statement)[0])) < wanted:
            assert time.monotonic() < deadline, f"{moved} offsets of {wanted}"
            assert not any(map(has_ended, clients)), "a consumer has ended"
            Event().wait(_PAUSE / 5)
        return time.monotonic(), moved

    def resume(self, resume: Callable[[], None], client: int) -> tuple[Run, float]:
        """From the resume of a client that is up to the last row; and rows a second from the first row on."""
        self.execute("CHECKPOINT")
        before, begin = self.meter.read([client]), time.monotonic()
        resume()
        first, rows = self.wait_for_rows(1)
        last, stored = self.wait_for_rows(self.orders, _LONGEST)
        processor = per_row(before, self.meter.read([client]), stored)
        return Run(stored / (last - begin), processor), (stored - rows) / (last - first)


def execute(settings: Settings, statement: str) -> None:
    """Run one statement outside a transaction, on a connection of its own."""
    connection = connect(settings, command="benchmark", bound=600)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


@contextmanager
def started(commands: Sequence[Sequence[str]]) -> Iterator[list[int]]:
    """The ids of the processes, which are ended and waited for afterwards."""
    quiet = {"start_new_session": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = [subprocess.Popen(command, **quiet) for command in commands]  # type: ignore[call-overload]
    try:
        yield [process.pid for process in processes]
    finally:
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
