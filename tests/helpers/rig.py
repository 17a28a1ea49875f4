"""A sink with its connection, and a look at the tables from outside."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import uuid4

from sesacctl.database.connections import connect
from sesacctl.events import ORDERS, Kind
from sesacctl.pipeline.consume.parked import retry_parked
from sesacctl.pipeline.sink.batch import Batch
from sesacctl.pipeline.sink.counts import COUNTERS, Counts
from sesacctl.pipeline.sink.store import Sink
from sesacctl.settings import Settings
from tests.helpers.events import Message, batch, query

TOPIC = uuid4()


class Killed(Exception):
    """Stands for the end of the process at a checkpoint."""


class Rig:
    """A sink with its connection, and a look at the tables from outside."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.group = settings.kafka_group
        self.die_at: str | None = None
        self.reconnect()

    def reconnect(self) -> None:
        self.connection = connect(self.settings, command="test")
        self.sink = Sink(self.connection, group=self.group, checkpoint=self._checkpoint)

    def _checkpoint(self, label: str) -> None:
        if label == self.die_at:
            self.connection.close()  # what is left of a connection when its process is killed
            raise Killed(label)

    def begin(self, *batches: Batch) -> None:
        for found in batches:
            self.sink.begin_partition(found.topic, found.key, found.next_offset)

    def store(self, messages: list[Message], *, kind: Kind = ORDERS, partition: int = 0) -> Counts:
        """Store messages as the next of a partition."""
        key = (TOPIC, partition)
        seen = self.sink.next_offsets([key]).get(key) or self.sink.begin_partition(kind, key, 0)
        one = batch(messages, kind=kind, topic_id=TOPIC, partition=partition, seen=seen)
        return self.sink.store([one])[one.key]

    def count(self, table: str) -> int:
        return int(query(self.settings, f"SELECT count(*) FROM {table}")[0][0])

    def offsets(self) -> tuple[int, Counts]:
        """Of the only partition: the next offset and the counters."""
        [row] = query(
            self.settings,
            f"SELECT next_offset, {', '.join(COUNTERS)} FROM sink_offsets",
        )
        return row[0], Counts(*row[1:])

    def retry(
        self, *, park_seconds: float = 600, lag_free: bool = True, beyond: Mapping[str, int] | None = None
    ) -> Counts:
        return retry_parked(
            self.connection,
            group=self.group,
            kind_of={"orders": Kind.ORDERS},
            partitions=[("orders", 0)],
            beyond=beyond or {},
            park_seconds=park_seconds,
            parents_without_lag=lambda: lag_free,
        )
