"""Kafka's own sender, accumulator and transaction manager, mended, over a network that answers as a test says."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import (
    Cancelled,
    KafkaConnectionError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    NodeNotReadyError,
    OutOfOrderSequenceNumberError,
    RequestTimedOutError,
    SaslAuthenticationFailedError,
)
from kafka.future import Future
from kafka.producer import record_accumulator
from kafka.producer import sender as kafka_sender
from kafka.producer.record_accumulator import RecordAccumulator
from kafka.producer.sender import Sender
from kafka.producer.transaction_manager import TransactionManager, TransactionState
from kafka.protocol.producer import InitProducerIdRequest
from kafka.record import MemoryRecords

from sesacctl.broker.kafka_python import producer_batches as batches
from sesacctl.broker.kafka_python.producer_batches import Delivery, Lane, varint
from sesacctl.broker.kafka_python.producer_recovery import make_recoverable
from sesacctl.events import Kind

DELIVERY_SECONDS = 10.0
PARTITIONS = [TopicPartition("orders", number) for number in range(3)]


class Time:
    """A clock that stands still between steps, in place of the module `time`."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def time_ns(self) -> int:
        return int(self.now * 1e9)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Network:
    """One broker a partition; requests stay open until a test answers them."""

    def __init__(self) -> None:
        self.cluster = SimpleNamespace(
            leader_for_partition=lambda partition: partition.partition,
            partitions_for_broker=lambda node: [PARTITIONS[node]],
            request_update=Future,
        )
        self.ids = 0
        self.id_requests: list[tuple[Any, Future]] = []
        self.open: dict[int, tuple[Any, Future]] = {}

    def is_ready(self, _node: int) -> bool:
        return True

    def await_ready(self, *_: object, **__: object) -> bool:
        return True

    def least_loaded_node(self) -> int:
        return 0

    def poll(self, timeout_ms: float = 0, future: Future | None = None) -> None: ...

    def wakeup(self) -> None: ...

    def send(self, node: int, request: Any, **_: object) -> Future:
        future = Future()
        if isinstance(request, InitProducerIdRequest):
            self.id_requests.append((request, future))
        else:
            assert node not in self.open, "two requests for one partition at once"
            self.open[node] = (request, future)
        return future

    def give_id(self) -> None:
        [(request, future)] = self.id_requests
        assert request.producer_id == -1, "raises the epoch, which fences what is to be sent again"
        self.id_requests.clear()
        self.ids += 1
        future.success(SimpleNamespace(error_code=0, producer_id=self.ids, producer_epoch=0))

    def answer(self, node: int, error: type[Any] | None = None) -> None:
        """As the leader of partition `node`."""
        _, future = self.open.pop(node)
        told = SimpleNamespace(
            index=node, error_code=error.errno if error else 0, base_offset=0, log_append_time_ms=-1,
            log_start_offset=-1, record_errors=(), error_message=None,
        )  # fmt: skip
        future.success(SimpleNamespace(responses=[SimpleNamespace(name="orders", partition_responses=[told])]))

    def lose(self, node: int) -> None:
        """The connection breaks before the answer."""
        self.open.pop(node)[1].failure(KafkaConnectionError())

    def sequence(self, node: int) -> tuple[int, int]:
        """Producer id and first sequence number of what is on its way to `node`."""
        [topic] = self.open[node][0].topic_data
        batch = MemoryRecords(topic.partition_data[0].records).next_batch()
        return batch.producer_id, batch.base_sequence


class Bench:
    """The parts of a `KafkaProducer` without its thread, with a lane to each partition."""

    def __init__(self, clock: Time) -> None:
        self.clock, self.network, self.told = clock, Network(), list[Delivery]()
        self.manager = TransactionManager(api_version=(4, 0))
        self.accumulator = RecordAccumulator(
            transaction_manager=self.manager, linger_ms=0, request_timeout_ms=1000,
            delivery_timeout_ms=int(DELIVERY_SECONDS * 1000),
        )  # fmt: skip
        self.sender = Sender(
            self.network, self.network.cluster, self.accumulator, transaction_manager=self.manager,
            guarantee_message_order=True,
        )  # fmt: skip
        client: Any = SimpleNamespace(
            _accumulator=self.accumulator, _sender=self.sender, _transaction_manager=self.manager
        )
        make_recoverable(client)
        self._lanes = [Lane(client, Kind.ORDERS, partition, self.told.append) for partition in PARTITIONS]

    def publish(self, partition: int, *row_ids: str, size: int = 1) -> None:
        for row_id in row_ids:
            self._lanes[partition].append(row_id, varint(1) + b"k", b"v" * size)

    def step(self, seconds: float = 0.0) -> None:
        self.clock.now += seconds
        self.sender.run_once()

    def start(self) -> None:
        """With a producer id."""
        self.step()
        self.network.give_id()

    def outcomes(self) -> dict[str, str | None]:
        """What was told of each row."""
        rows = [(each, delivery.error) for delivery in self.told for each in delivery.ids]
        assert max(Counter(row for row, _ in rows).values(), default=0) <= 1, "told twice"
        return {row: type(error).__name__ if error else None for row, error in rows}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    clock = Time()
    monkeypatch.setattr(Future, "error_on_callbacks", True)
    for module in (record_accumulator, kafka_sender, batches):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr("kafka.producer.producer_batch.time", clock)
    return Bench(clock)


def test_an_expired_batch_holds_up_no_healthy_partition(bench: Bench) -> None:
    """Taken out to be sent in the turn in which another one expired, a batch was neither sent nor let go."""
    bench.start()
    bench.publish(0, "a")
    bench.step()
    bench.network.lose(0)
    bench.clock.now += DELIVERY_SECONDS
    bench.publish(1, "b")
    bench.step()
    assert bench.outcomes() == {"a": "KafkaTimeoutError"}
    bench.step()
    bench.network.give_id()
    bench.step()
    assert bench.network.sequence(1) == (2, 0)
    bench.network.answer(1)
    assert bench.outcomes() == {"a": "KafkaTimeoutError", "b": None}
    assert not bench.accumulator.muted


def test_unsent_batches_expire_and_other_partitions_continue(bench: Bench) -> None:
    bench.start()
    bench.publish(0, "a")
    bench.step()
    bench.publish(0, "waits for a")
    bench.clock.now += DELIVERY_SECONDS
    bench.publish(1, "b")
    bench.step()
    assert bench.outcomes() == {"a": "KafkaTimeoutError", "waits for a": "KafkaTimeoutError"}
    assert bench.network.sequence(1) == (1, 0)


@pytest.mark.parametrize(
    "error", [Cancelled, KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError, RequestTimedOutError]
)
def test_a_producer_id_is_asked_for_until_there_is_one(bench: Bench, error: type[Exception]) -> None:
    bench.publish(0, "a")
    bench.step()
    for _ in range(3):
        bench.network.id_requests.pop()[1].failure(error())
        bench.step()
    bench.network.give_id()
    bench.step()
    bench.network.answer(0)
    assert bench.outcomes() == {"a": None}


def test_a_login_that_is_refused_ends_the_producer(bench: Bench) -> None:
    bench.publish(0, "a")
    bench.step()
    bench.network.id_requests.pop()[1].failure(SaslAuthenticationFailedError())
    bench.step()
    assert bench.manager.has_fatal_error()
    assert bench.outcomes() == {"a": "KafkaError"}


def test_a_lost_sequence_fails_only_batches_in_doubt(bench: Bench) -> None:
    bench.start()
    for partition, row_id in enumerate("abc"):
        bench.publish(partition, row_id)
    bench.step()
    bench.network.lose(2)
    bench.network.answer(0, OutOfOrderSequenceNumberError)
    bench.network.answer(1, OutOfOrderSequenceNumberError)  # while there is no id
    assert bench.manager._current_state is TransactionState.UNINITIALIZED
    bench.step()
    bench.network.give_id()
    bench.publish(0, "d")
    bench.step(0.2)
    assert (bench.network.sequence(0), bench.network.sequence(2)) == ((2, 0), (1, 0))
    bench.network.answer(2)
    bench.network.answer(0)
    lost = OutOfOrderSequenceNumberError.__name__
    assert bench.outcomes() == {"a": lost, "b": lost, "c": None, "d": None}


def test_a_batch_of_an_old_producer_id_spares_the_new_one(bench: Bench) -> None:
    bench.start()
    bench.publish(0, "a")
    bench.publish(1, "b")
    bench.step()
    bench.network.lose(1)
    bench.network.answer(0, OutOfOrderSequenceNumberError)
    bench.step()
    bench.network.give_id()
    bench.publish(2, "c")
    bench.step(0.2)
    bench.network.lose(2)
    bench.network.answer(1, OutOfOrderSequenceNumberError)
    assert bench.manager.has_producer_id(2)
    bench.step(0.2)
    bench.network.answer(2)
    assert bench.outcomes()["c"] is None


def test_an_event_too_large_for_its_topic_fails_alone(bench: Bench) -> None:
    bench.start()
    bench.publish(0, "a")
    bench.step()
    bench.network.answer(0, MessageSizeTooLargeError)
    bench.publish(0, "b")
    bench.step()
    assert bench.network.sequence(0) == (1, 0)
    bench.network.answer(0)
    assert bench.outcomes() == {"a": "MessageSizeTooLargeError", "b": None}
