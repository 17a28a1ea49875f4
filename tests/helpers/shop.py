"""A filled cache, and what is in the topics, for tests of producers."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

from kafka import TopicPartition

from sesacctl.broker import clients
from sesacctl.cache.client import connect
from sesacctl.cache.snapshot import publish
from sesacctl.database.samples import generate as samples
from sesacctl.pipeline.produce.ledger import read_ledger
from sesacctl.pipeline.produce.producer import ProducePlan, Producer, ProduceReport
from sesacctl.settings import Settings
from tests.helpers.waiting import wait_until

_POLL_MS = 500


def fill_cache(settings: Settings, *, users: int = 50, products: int = 50, prefix: str = "a", **user: Any) -> None:
    """Publish a generation; ids begin with `prefix`. Further keywords are columns of every user."""
    random, created = Random(1), {"created_at": datetime.now(UTC).isoformat()}
    people = [samples.make_user(random, user_id=f"{prefix}u{number:04}") | created | user for number in range(users)]
    goods = [samples.make_product(random, product_id=f"{prefix}p{number:04}") | created for number in range(products)]
    redis = connect(settings)
    try:
        publish(
            redis,
            {
                "users": {row["user_id"]: json.dumps(row, default=str) for row in people},
                "products": {row["product_id"]: json.dumps(row, default=str) for row in goods},
            },
            at=datetime.now(UTC),
            plan={},
        )
    finally:
        redis.close()


def read_partitions(settings: Settings, kind: str = "orders") -> dict[int, list[Any]]:
    """All records of a topic by partition, oldest first, with the offsets that are there as proof of the end."""
    consumer = clients.consumer(settings, group_instance_id=None)
    try:
        topic = settings.topic(kind)
        partitions = [TopicPartition(topic, number) for number in sorted(consumer.partitions_for_topic(topic))]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        ends = consumer.end_offsets(partitions)
        records: dict[int, list[Any]] = defaultdict(list)

        def finished() -> bool:
            for partition, found in consumer.poll(timeout_ms=_POLL_MS).items():
                records[partition.partition].extend(found)
            return all(consumer.position(partition) >= ends[partition] for partition in partitions)

        wait_until(finished, message=f"{topic} is not read to its end")
        return records
    finally:
        consumer.close()


def read_topic(settings: Settings, kind: str = "orders") -> list[Any]:
    """All records of a topic, oldest first in each partition."""
    return [record for found in read_partitions(settings, kind).values() for record in found]


def row_ids(settings: Settings, kind: str = "orders") -> list[str]:
    """The primary keys of all events in a topic, duplicates and all."""
    field = kind.removesuffix("s")
    return [json.loads(record.value)[field][f"{field}_id"] for record in read_topic(settings, kind)]


def check_ledger(settings: Settings, ledger: Path) -> tuple[set[str], set[str], set[str]]:
    """Acknowledged, in Kafka and sent, each within the next, and nothing twice."""
    entries = list(read_ledger(ledger))
    sent = {entry.id for entry in entries if not entry.acknowledged}
    acknowledged = {entry.id for entry in entries if entry.acknowledged}
    found = [row_id for kind in ("orders", "users", "products") for row_id in row_ids(settings, kind)]
    assert len(found) == len(set(found)), "written twice"
    assert acknowledged <= set(found), "acknowledged and not there"
    assert set(found) <= sent, "there and never meant to be sent"
    return acknowledged, set(found), sent


class Running:
    """A producer at work in a thread; `error` is what ended it."""

    def __init__(self, settings: Settings, plan: ProducePlan) -> None:
        self.producer = Producer(settings, plan)
        self.reports: list[ProduceReport] = []
        self.error: BaseException | None = None
        self.stop = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        try:
            self.producer.run(self.stop, on_report=self.reports.append, interval=0.1)
        except BaseException as error:
            self.error = error

    def now(self) -> ProduceReport:
        """The figures now."""
        return self.producer.report()

    def more(self, acknowledged: int = 100, timeout: float = 30.0) -> None:
        """Wait until so many more events are acknowledged than now."""
        target = self.now().acknowledged + acknowledged
        wait_until(lambda: self.now().acknowledged >= target or self.error, timeout, "no acknowledgements")
        assert self.error is None, self.error

    def finish(self, timeout: float = 60.0) -> ProduceReport:
        """Wait for the plan's end."""
        self._thread.join(timeout)
        assert not self._thread.is_alive(), f"not finished after {timeout} s: {self.now()}"
        if self.error:
            raise self.error
        return self.now()

    def end(self) -> ProduceReport:
        """Stop it and wait for its end."""
        self.stop.set()
        return self.finish()


@contextmanager
def producing(settings: Settings, **plan: Any) -> Iterator[Running]:
    """A producer at work, without newcomers if nothing else is said; stopped at the end."""
    running = Running(settings, ProducePlan(**{"new_users_per_second": 0.0, "new_products_per_second": 0.0} | plan))
    try:
        yield running
    finally:
        running.stop.set()
        running._thread.join(60)
