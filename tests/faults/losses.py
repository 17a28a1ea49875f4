"""Faults that really lose orders: the oracle has to say so, and the audits have to agree with it."""

from __future__ import annotations

import io
import signal
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import confluent_kafka
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, ResourceType

from tests.faults import audits, evidence, oracle
from tests.faults.evidence import Log, read_topic
from tests.faults.site import ORDERS, Load, Site
from tests.helpers.waiting import wait_until

ALL = tuple(audits.AUDITS)
LEDGER_ALONE = ("audit --ledger",)
"""What was never consumed, and is no longer in Kafka, only the ledger has (docs/architecture.md)."""
_ORDERS = 1500
_FOUND_WANTING = 5
_PARTITIONS = 9
_SECONDS = 60.0


class Loss(ABC):
    """`told_by` are the audits that must not be clean after it."""

    name = ""
    told_by: tuple[str, ...] = ALL
    stops_consumers = False

    def __init__(self, site: Site) -> None:
        self.site = site
        self.admin = AdminClient({"bootstrap.servers": site.address.brokers, "log_level": 0})  # a foreign one

    def make_topic(self) -> None:  # noqa: B027
        """Make `orders` in its own way: `topics init` would mend it."""

    @abstractmethod
    def lose(self) -> None:
        """Lose something that was acknowledged."""

    def produce(self, count: int = _ORDERS) -> None:
        """Acknowledged orders with a ledger."""
        self.site.must("produce", "--count", count, "--ledger", self.site.ledger, "--new-users", 0, "--new-products", 0)

    def consume(self) -> int:
        """Store what is in Kafka; the exit code."""
        return self.site.command("consume", "-n", 3, "--until-empty").returncode


class RowsDeleted(Loss):
    """Somebody deletes rows and says nothing."""

    name = "rows-deleted"

    def lose(self) -> None:
        """Delete some."""
        self.site.query("DELETE FROM orders WHERE order_id IN (SELECT order_id FROM orders ORDER BY order_id LIMIT 7)")


class OlderTable(Loss):
    """One table is restored from a dump that is older than the offsets."""

    name = "older-table"

    def lose(self) -> None:
        """COPY it out, store more, and COPY it in again."""
        dump = io.StringIO()
        self._copy("COPY orders TO STDOUT", dump)
        self.produce()
        assert self.consume() == 0
        self.site.query("TRUNCATE orders")
        dump.seek(0)
        self._copy("COPY orders FROM STDIN", dump)

    def _copy(self, statement: str, file: io.StringIO) -> None:
        with closing(self.site.connect()) as connection, connection.cursor() as cursor:
            cursor.copy_expert(statement, file)


class PowerLoss(Loss):
    """All brokers lose the ends of their logs, below what was stored."""

    name = "power-loss"
    stops_consumers = True

    def lose(self) -> None:
        """Cut, as `tests.helpers.cut_logs` does for one partition."""
        self.produce()
        assert self.site.own is not None
        self.site.own.cut_logs(f"{self.site.topic(ORDERS)}-*", share=0.3)


class TopicCreatedAgain(Loss):
    """A topic with records that nobody has stored is deleted and created again."""

    name = "topic-created-again"
    told_by = LEDGER_ALONE

    def lose(self) -> None:
        """Delete it, and create all that is missing."""
        self.produce()
        topic = self.site.topic(ORDERS)
        self.admin.delete_topics([topic], operation_timeout=_SECONDS)[topic].result(_SECONDS)
        wait_until(lambda: self.site.command("topics", "init").returncode == 0, message=f"{topic} is not there again")


class RetentionInAnOutage(Loss):
    """Records expire while no consumer runs."""

    name = "retention-in-an-outage"
    told_by = LEDGER_ALONE
    stops_consumers = True

    def lose(self) -> None:
        """Delete what is not stored yet."""
        self.produce()
        reader = evidence.consumer(self.site)
        topic = self.site.topic(ORDERS)
        ends = [
            confluent_kafka.TopicPartition(topic, number, high)
            for number, (_, high) in evidence.watermarks(reader, topic).items()
        ]
        reader.close()
        for future in self.admin.delete_records(ends).values():
            future.result(_SECONDS)


class Compaction(Loss):
    """Compaction is switched on for orders: of each user only the last one stays."""

    name = "compaction"
    told_by = LEDGER_ALONE
    stops_consumers = True

    def lose(self) -> None:
        """Have the cleaner remove what is not stored yet."""
        changes = {"cleanup.policy": "compact", "segment.ms": 200, "min.cleanable.dirty.ratio": 0.001,
                   "max.compaction.lag.ms": 200}  # fmt: skip
        entries: list[Any] = [
            ConfigEntry(name, str(value), incremental_operation=AlterConfigOpType.SET)
            for name, value in changes.items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, self.site.topic(ORDERS), incremental_configs=entries)
        for future in self.admin.incremental_alter_configs([resource]).values():
            future.result(_SECONDS)
        self.produce()
        before = self._records()
        self.produce(100)  # the segment that is written to is never cleaned
        wait_until(lambda: self._records() < before, 2 * _SECONDS, "nothing is compacted")

    def _records(self) -> int:
        """That are not stored: to lose others is no loss."""
        stored = self.site.stored(ORDERS)
        return sum(each.offset >= stored.get(each.partition, 0) for each in read_topic(self.site, ORDERS, Log()))


class UncleanElection(Loss):
    """A replica that has fallen behind is elected, as its topic allows that: what only the others had is cut off."""

    name = "unclean-election"
    stops_consumers = True
    _BEHIND, _AHEAD = "kafka-3", "kafka-2"

    def make_topic(self) -> None:
        """Two replicas, one of which may take a record by itself, instead of the safe topic that is there."""
        new = NewTopic(
            self.site.topic(ORDERS), _PARTITIONS, replica_assignment=[[2, 3]] * _PARTITIONS,
            config={"unclean.leader.election.enable": "true", "min.insync.replicas": "1"},
        )  # fmt: skip
        self.admin.delete_topics([new.topic], operation_timeout=_SECONDS)[new.topic].result(_SECONDS)
        wait_until(lambda: self._is_made(new), _SECONDS, "the topic cannot be made")

    def _is_made(self, new: NewTopic) -> bool:
        """False while the brokers still know the one that was deleted."""
        try:
            self.admin.create_topics([new])[new.topic].result(_SECONDS)
        except confluent_kafka.KafkaException:
            return False
        return True

    def lose(self) -> None:
        """End one replica, store and produce on the other, end that too, and have only the first come back."""
        own = self.site.own
        assert own is not None
        own.stop(self._BEHIND)
        self.produce()
        assert self.consume() == 0
        self.produce()
        own.send(self._AHEAD, signal.SIGKILL)
        own.start(self._BEHIND)
        wait_until(lambda: self._leaders() == {3}, 2 * _SECONDS, "nobody else is elected")
        own.start(self._AHEAD)
        wait_until(lambda: -1 not in self._leaders(in_sync=2), 2 * _SECONDS, "the other does not follow")

    def _leaders(self, in_sync: int = 1) -> set[int]:
        found = self.admin.list_topics(self.site.topic(ORDERS), timeout=_SECONDS).topics[self.site.topic(ORDERS)]
        partitions = found.partitions.values()
        return {each.leader if len(each.isrs) >= in_sync else -1 for each in partitions}


LOSSES: tuple[type[Loss], ...] = (
    RowsDeleted, OlderTable, TopicCreatedAgain, RetentionInAnOutage, Compaction, PowerLoss, UncleanElection,
)  # fmt: skip
LOAD = Load(users=500, products=300, hostile=0)


def prove(loss: Loss) -> Iterator[str]:
    """What is wrong with the verdicts on it; nothing if oracle and audits are right before and after."""
    site = loss.site
    site.prepare()
    loss.make_topic()
    before = oracle.seeded(site)
    loss.produce()
    if loss.consume():
        yield f"{loss.name}: consumers fail without it"
    verdict = oracle.judge(site, before)
    for problem in (*verdict.wrong, *audits.disagreements(audits.audit(site), clean=verdict.is_clean)):
        yield f"{loss.name}, before it: {problem}"
    loss.lose()
    if loss.stops_consumers and (code := loss.consume()) != _FOUND_WANTING:
        yield f"{loss.name}: consumers ended with {code}, not {_FOUND_WANTING}"
    verdict = oracle.judge(site, before)
    if not verdict.lost:
        yield f"{loss.name}: the oracle sees nothing lost"
    told = [each for each in audits.audit(site) if each.name in loss.told_by]
    for problem in audits.disagreements(told, clean=False):
        yield f"{loss.name}: {problem}"
