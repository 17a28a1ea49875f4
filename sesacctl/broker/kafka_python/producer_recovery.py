"""What kafka-python 3.0's idempotent producer needs to recover from brokers that were away or hung."""

from __future__ import annotations

from typing import Any

from kafka import KafkaProducer
from kafka.errors import KafkaConnectionError, MessageSizeTooLargeError, RecordListTooLargeError, RetriableError
from kafka.producer.producer_batch import ProducerBatch
from kafka.producer.record_accumulator import RecordAccumulator
from kafka.producer.sender import Sender
from kafka.producer.transaction_manager import TransactionManager, TransactionState


def make_recoverable(client: KafkaProducer) -> None:
    """Mend a producer that was just made."""
    _renew_ids(client._transaction_manager)
    _ask_for_ids_again(client._transaction_manager)
    _fail_batches_alone(client._transaction_manager)
    _expire_before_draining(client._sender, client._accumulator)


def _renew_ids(manager: TransactionManager) -> None:
    """Ask for another producer id whenever the one there is has been given up; one request at a time.

    kafka-python gives it up when a batch expires that may have been written, and leaves its state at READY: it would
    never ask for another one, and nothing would be sent, and nothing would expire, from then on. To raise an id's
    epoch instead, after a broker has lost count, would need an id: answers also come while there is none.
    """
    give_up = manager.reset_producer_id

    def reset_producer_id() -> None:
        with manager._lock:
            if manager.has_producer_id() and not manager.has_fatal_error():
                give_up()
                manager._current_state = TransactionState.UNINITIALIZED

    manager.reset_producer_id = manager.bump_producer_id_and_epoch = reset_producer_id


def _ask_for_ids_again(manager: TransactionManager) -> None:
    """Any error that passes is to a request for a producer id what a lost connection is.

    kafka-python takes all others for fatal, so that a broker that hangs for a moment would end the producer.
    """
    enqueue = manager._enqueue_request

    def enqueue_patient(handler: Any) -> None:
        def on_complete(correlation_id: int, outcome: Any) -> None:
            passes = isinstance(outcome, RetriableError)
            type(handler).on_complete(handler, correlation_id, KafkaConnectionError(outcome) if passes else outcome)

        handler.on_complete = on_complete
        enqueue(handler)

    manager._enqueue_request = enqueue_patient


def _fail_batches_alone(manager: TransactionManager) -> None:
    """Let a batch fail without the producer where nothing is in doubt but the batch itself.

    One that is too large was not written: the next one takes its place in the sequence. One that was sent under an id
    that has been given up since says nothing about the present one.
    """
    classify = manager.classify_batch_error

    def classify_batch_error(error: Exception, batch: ProducerBatch, log_start_offset: int = -1) -> Any:
        present = manager.producer_id_and_epoch.match(batch)
        if isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError):
            if present:
                manager.set_sequence_number(batch.topic_partition, batch.base_sequence)
            return TransactionManager.ERROR_CLASS_RETRIABLE
        found = classify(error, batch, log_start_offset=log_start_offset)
        fatal = found == TransactionManager.ERROR_CLASS_FATAL
        return found if present or fatal else TransactionManager.ERROR_CLASS_RETRIABLE

    manager.classify_batch_error = classify_batch_error


def _expire_before_draining(sender: Sender, accumulator: RecordAccumulator) -> None:
    """Look for expired batches before any are taken out to be sent, and take none out if the producer id must go.

    kafka-python does it the other way round: those that it had taken out were not sent, and their healthy partitions
    stood still until they expired too.
    """
    reset, drain, expired = (
        accumulator.reset_next_batch_expiry_time, accumulator.drain, accumulator.expired_batches
    )  # fmt: skip
    expired_in_flight = sender._get_expired_inflight_batches
    found: list[ProducerBatch] = []

    def drain_unless_reset(cluster: Any, nodes: Any, max_size: int, now: float) -> dict[Any, list[ProducerBatch]]:
        reset()
        found[:] = [*expired(now=now), *expired_in_flight(now=now)]
        if any(batch.in_retry() for batch in found):
            return {}
        batches: dict[Any, list[ProducerBatch]] = drain(cluster, nodes, max_size, now=now)
        return batches

    accumulator.drain = drain_unless_reset
    accumulator.reset_next_batch_expiry_time = lambda: None
    accumulator.expired_batches = lambda *_, **__: list(found)
    sender._get_expired_inflight_batches = lambda *_, **__: []
