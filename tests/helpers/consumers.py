"""Running consumers, and a look at them from outside."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import psutil
from kafka import KafkaConsumer

from sesacctl.broker.groups import leave_group
from sesacctl.events import ORDERS, PARTITIONS, PRODUCTS, USERS, Kind
from sesacctl.pipeline.audit.report import audit
from sesacctl.pipeline.audit.until_empty import UntilEmpty
from sesacctl.pipeline.consume.instance import Instance
from sesacctl.pipeline.consume.status import Status
from sesacctl.pipeline.supervise.member import ConsumeReport
from sesacctl.pipeline.supervise.supervisor import Supervisor
from sesacctl.settings import Settings
from tests.helpers.events import Message, message, product, query, send, user
from tests.helpers.topics import make_topics
from tests.helpers.waiting import wait_until


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
        run.join(timeout=60)
    assert not run.is_alive()


class Running:
    """An instance in a thread; `seen` has what it reports: states, and servers that it waits for; `errors` its end."""

    def __init__(
        self, settings: Settings, kinds: tuple[Kind, ...], checkpoint: Callable[[str], None], **options: Any
    ) -> None:
        self.seen: list[tuple[str, str | None]] = []
        self.errors: list[BaseException] = []
        self.member_id = f"test-{uuid4()}"
        self.instance = Instance(
            settings=settings,
            kinds=kinds,
            number=0,
            member_id=self.member_id,
            report=self._note,
            checkpoint=checkpoint,
            **{"park_seconds": 600.0} | options,
        )

    def _note(self, status: Status) -> None:
        self.seen.append((status.state, status.waiting_for))

    @property
    def consumer(self) -> KafkaConsumer:
        return self.instance._member.place.reader.consumer


@contextmanager
def running(
    settings: Settings, *kinds: Kind, checkpoint: Callable[[str], None] = lambda _: None, **options: Any
) -> Iterator[Running]:
    """An instance at work until the end of the block, of all kinds if none is given; what ended it is raised there."""
    stop, found = threading.Event(), Running(settings, kinds or tuple(PARTITIONS), checkpoint, **options)

    def work() -> None:
        try:
            found.instance.run(stop)
        except BaseException as error:
            found.errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join(30)
        leave_group(settings, [found.member_id], seconds=5.0)
    assert not thread.is_alive()
    assert not found.errors, found.errors


def store_all(settings: Settings) -> None:
    """Consume what is in the topics now."""
    empty = UntilEmpty(settings)
    with running(settings) as found:
        wait_until(lambda: found.errors or empty(), message="the topics are not drained")


def sell(settings: Settings, orders: Sequence[Message]) -> None:
    """Topics, one user and one product, and these orders in partition 0, consumed."""
    make_topics(settings)
    send(settings, USERS, [message(user(1))])
    send(settings, PRODUCTS, [message(product(1))])
    send(settings, ORDERS, orders, partition=0)
    store_all(settings)


def counters(settings: Settings) -> tuple[int, int, int]:
    """Of the first partition of orders: stored, duplicates and dead letters."""
    [found] = query(settings, "SELECT stored, duplicates, dead FROM sink_offsets WHERE topic = %s AND partition = 0",
                    settings.topic(ORDERS))  # fmt: skip
    stored, duplicates, dead = found
    return stored, duplicates, dead


def check(settings: Settings, orders: int) -> None:
    """Every order is stored once, and every offset is accounted for."""
    result = audit(settings, deep=True)
    assert (result.missing, result.duplicated, result.lag, result.counts.duplicates) == (0, 0, 0, 0)
    assert result.rows["orders"] == orders
