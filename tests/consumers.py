"""Running consumers, and a look at them from outside."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil

from sesacctl.events import ORDERS
from sesacctl.pipeline.audit import audit
from sesacctl.pipeline.members import ConsumeReport
from sesacctl.pipeline.supervise import Supervisor
from sesacctl.settings import Settings
from tests.events import Message, query, send


def stored(settings: Settings) -> int:
    """Events stored by all groups, by the counters."""
    return int(query(settings, "SELECT coalesce(sum(stored), 0) FROM sink_offsets")[0][0])


def has_stored(settings: Settings, number: int) -> bool:
    """Whether that many events are stored."""
    return stored(settings) >= number


def sending(settings: Settings, orders: Sequence[Message], *, parts: int) -> threading.Thread:
    """Sends orders in the background, in so many parts one after the other; join it."""

    def run() -> None:
        for part in range(parts):
            send(settings, ORDERS, orders[part::parts])

    sender = threading.Thread(target=run)
    sender.start()
    return sender


def instances(supervisor: int) -> list[int]:
    """The pids of the consumer processes: children of the supervisor's fork server."""
    [server] = [child for child in psutil.Process(supervisor).children() if "forkserver" in " ".join(child.cmdline())]
    return sorted(child.pid for child in server.children())


@contextmanager
def consuming(settings: Settings, instances: int = 2) -> Iterator[list[ConsumeReport]]:
    """Consumers in the background; their reports, the last one first."""
    stop = threading.Event()
    reports: list[ConsumeReport] = []
    supervisor = Supervisor(settings, instances=instances)
    run = threading.Thread(
        target=supervisor.run, args=(stop,), kwargs={"on_report": lambda r: reports.insert(0, r), "interval": 0.2}
    )
    run.start()
    try:
        yield reports
    finally:
        stop.set()
        run.join(timeout=40)
    assert not run.is_alive()


def check(settings: Settings, orders: int) -> None:
    """Every order is stored once, and every offset is accounted for."""
    result = audit(settings, deep=True)
    assert (result.missing, result.duplicated, result.lag, result.counts.duplicates) == (0, 0, 0, 0)
    assert result.rows["orders"] == orders
