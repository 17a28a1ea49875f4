"""Kafka clients made from settings, and Kafka's errors in our words."""

from __future__ import annotations

import copy
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import (
    AuthorizationError,
    IllegalStateError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RetriableError,
    SaslAuthenticationFailedError,
    UnknownTopicOrPartitionError,
)
from kafka.protocol.consumer import IsolationLevel

from sesacctl.broker.addresses import missed
from sesacctl.broker.bootstrap import GRACE_SECONDS, reachable
from sesacctl.broker.kafka_python.connection_errors import REACH_HINT, reasons, user_hint
from sesacctl.broker.kafka_python.consumer_records import fast_reading, skipped
from sesacctl.broker.kafka_python.producer_recovery import make_recoverable
from sesacctl.broker.kafka_python.rebootstrap import ask_bootstrap_servers_again
from sesacctl.broker.membership import RoundRobin, notice_fencing
from sesacctl.broker.security import security_options
from sesacctl.errors import ServerRefused, ServerUnreachable, TopicMissing
from sesacctl.settings import Settings

CLIENT_ID = "sesacctl"
BOOTSTRAP_TIMEOUT_MS = 6_000  # a one-shot command answers within 10 s
LINGER_MS = 10
REQUEST_TIMEOUT_MS = 10_000
LOOK_MS = 2_000  # a running consumer must not stand still for longer
SESSION_TIMEOUT_MS = 10_000
MAX_POLL_RECORDS = 4_000
_CONNECTING = ("socket_connection_setup_timeout_ms", "socket_connection_setup_timeout_max_ms")
_AVOID_SECONDS = 3.0
_KEEPALIVE = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]


def connection_options(settings: Settings) -> dict[str, Any]:
    """What every client is made with.

    Raises:
        ConfigurationError: settings that belong together are not there, or a file or function cannot be used.
    """
    return {
        "bootstrap_servers": settings.brokers,
        "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
        "client_id": CLIENT_ID,
        "reconnect_backoff_max_ms": 1_000,
        "socket_options": _KEEPALIVE,
        **security_options(settings),
    }


def _first_contact(settings: Settings, timeout_ms: int) -> tuple[dict[str, Any], list[str]]:
    """`connection_options` with only those of several bootstrap servers that answer, or with all if none does.

    Beside them, the addresses of those that do not answer.

    Raises:
        ConfigurationError
    """
    options = connection_options(settings) | {"bootstrap_timeout_ms": timeout_ms}
    if len(settings.brokers) == 1:
        return options, []
    started = time.monotonic()
    found = reachable(settings, seconds=timeout_ms / 3000, grace=GRACE_SECONDS)
    options["bootstrap_servers"] = found.answering or settings.brokers
    options["bootstrap_timeout_ms"] -= int((time.monotonic() - started) * 1000)
    return options, found.silent


def _avoid(client: KafkaAdminClient | KafkaConsumer, silent: Sequence[str]) -> None:
    """Have the first requests go to other brokers: for some seconds, the cluster still lists one that hangs.

    A producer needs it not: it asks again until an event's time is over.
    """
    manager = client._manager
    for broker in manager.cluster.brokers() if silent else ():
        if f"{broker.host}:{broker.port}" in silent:
            manager._backoff[broker.node_id] = (1, time.monotonic() + _AVOID_SECONDS, BOOTSTRAP_TIMEOUT_MS)


def admin(settings: Settings, *, timeout_ms: int = BOOTSTRAP_TIMEOUT_MS) -> KafkaAdminClient:
    """An admin client; close it. `timeout_ms` bounds the first contact, and each request.

    Raises:
        ServerUnreachable, ServerRefused, ConfigurationError
    """
    with _connecting(settings):
        options, silent = _first_contact(settings, timeout_ms)
        client = KafkaAdminClient(**options, request_timeout_ms=timeout_ms)
    # By itself, it waits for a connection as long as it likes: an address that hangs would take 10 s and more.
    client._manager.config |= dict.fromkeys(_CONNECTING, timeout_ms)
    missed.watch(client._manager)
    _avoid(client, silent)
    return client


def producer(settings: Settings, *, delivery_seconds: float) -> KafkaProducer:
    """An idempotent producer with acks=all, for `Sender`; it does not bound its own memory.

    An event fails when it was not acknowledged within `delivery_seconds`.

    Raises:
        ServerUnreachable, ServerRefused, ConfigurationError
    """
    delivery_ms = int(delivery_seconds * 1000)
    with _connecting(settings):
        options, _ = _first_contact(settings, BOOTSTRAP_TIMEOUT_MS)
        client = KafkaProducer(
            enable_idempotence=True,  # explicit: acks=1 alone would turn it off silently
            acks="all",
            linger_ms=LINGER_MS,
            delivery_timeout_ms=delivery_ms,
            # A broker that hangs is given up after this; sending again is safe, because the brokers drop duplicates.
            request_timeout_ms=min(REQUEST_TIMEOUT_MS, delivery_ms - LINGER_MS),
            max_block_ms=BOOTSTRAP_TIMEOUT_MS,
            metrics_enabled=False,
            allow_auto_create_topics=False,
            **options,
        )
    make_recoverable(client)
    _prepare_for_long(client._sender._client._manager, settings)
    return client


def consumer(settings: Settings, *, group_instance_id: str | None) -> KafkaConsumer:
    """A consumer whose offsets are ours alone: no automatic commit, no automatic reset, raw bytes.

    `group_instance_id` makes it a static member of `settings.kafka_group`; None leaves it outside any group,
    for `assign`.

    Raises:
        ServerUnreachable, ServerRefused, ConfigurationError
    """
    group: dict[str, Any] = {}
    if group_instance_id is not None:
        group = {
            "group_id": settings.kafka_group,
            "group_instance_id": group_instance_id,
            "session_timeout_ms": SESSION_TIMEOUT_MS,
            "heartbeat_interval_ms": SESSION_TIMEOUT_MS // 5,
            # Range would leave members without a partition of `orders` idle for the two small topics.
            "partition_assignment_strategy": [RoundRobin],
        }
    with _connecting(settings):
        options, silent = _first_contact(settings, BOOTSTRAP_TIMEOUT_MS)
        client = KafkaConsumer(
            enable_auto_commit=False,
            auto_offset_reset="none",  # any other value resumes silently after records have expired
            allow_auto_create_topics=False,
            isolation_level="read_committed",
            max_poll_records=MAX_POLL_RECORDS,
            fetch_max_wait_ms=1_000,  # records are handed out at once all the same; an idle member asks half as often
            metadata_max_age_ms=30_000,
            metrics_enabled=False,
            **group,
            **options,
        )
    _prepare_for_long(client._manager, settings)
    _avoid(client, silent)
    fast_reading(client)
    if group_instance_id is not None:
        notice_fencing(client)
    return client


def _prepare_for_long(manager: Any, settings: Settings) -> None:
    """What a client needs that outlives the brokers that it has found at its start."""
    missed.watch(manager)
    ask_bootstrap_servers_again(manager, settings)


def topic_id(client: KafkaConsumer, topic: str) -> UUID | None:
    """The topic's id in the metadata that the consumer has now; None when it knows of no such topic.

    A topic that is deleted and created again keeps its name and gets another id.
    """
    found: UUID | None = client._cluster.topic_id(topic)  # kafka-python has no public way
    return found


def partitions(client: KafkaConsumer, topic: str) -> list[TopicPartition]:
    """The partitions of a topic, subscribed to or not, in the metadata that the consumer has now."""
    client._cluster.add_topic(topic)  # `partitions_for_topic` of the consumer waits without end for one it lacks
    return [TopicPartition(topic, number) for number in sorted(client._cluster.partitions_for_topic(topic) or ())]


def position(client: KafkaConsumer, partition: TopicPartition) -> int | None:
    """The offset of the next record to be polled, from memory; None while it is not known."""
    if not client._subscription.is_assigned(partition):
        return None
    found = client._subscription.position(partition)
    return None if found is None else int(found.offset)


def leader_epoch(client: KafkaConsumer, partition: TopicPartition) -> int:
    """The epoch of the last batch before the position, -1 while it is not known."""
    found = client._subscription.position(partition) if client._subscription.is_assigned(partition) else None
    return -1 if found is None else int(found.leader_epoch)


def seek(client: KafkaConsumer, partition: TopicPartition, offset: int, epoch: int | None) -> bool:
    """Read on from an offset whose last batch had that leader epoch: the brokers say if their log differs before it.

    `KafkaConsumer.seek` takes no epoch. False if the partition has been taken from the consumer.
    """
    try:
        client.seek(partition, offset)
        if epoch is not None:
            client._subscription.assignment[partition].seek(OffsetAndMetadata(offset, "", epoch))
    except (ValueError, KeyError, IllegalStateError):
        return False
    skipped(client).forget(partition)
    return True


def highwater(client: KafkaConsumer, partition: TopicPartition) -> int | None:
    """The end of the partition's log as of the last fetch; None before one, or if it is not assigned."""
    if not client._subscription.is_assigned(partition):
        return None
    found: int | None = client.highwater(partition)
    return found


def is_connected(client: KafkaConsumer) -> bool:
    """Whether there is a connection to any broker; asks none."""
    return bool(client._manager.least_used_connections())


def refresh_topics(client: KafkaConsumer) -> bool:
    """Ask for the topics' ids and leaders anew; False without an answer within `LOOK_MS`."""
    manager = client._manager
    try:
        manager.run(manager.wait_for, manager.cluster.request_update(), LOOK_MS)
    except KafkaError:
        return False
    return True


def log_starts(client: KafkaConsumer, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int] | None:
    """The first offset of each log; None if not all of them are known within `LOOK_MS`."""
    return _offsets(client.beginning_offsets, partitions)


def log_ends(client: KafkaConsumer, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, int] | None:
    """Each log's high watermark, which open transactions do not hold back; None if not all are known in `LOOK_MS`."""
    whole = copy.copy(client._fetcher)  # it has no parameter for that
    whole._isolation_level = IsolationLevel.READ_UNCOMMITTED
    return _offsets(whole.end_offsets, partitions)


def _offsets(
    ask: Callable[..., dict[TopicPartition, int]], partitions: Sequence[TopicPartition]
) -> dict[TopicPartition, int] | None:
    try:
        return ask(partitions, timeout_ms=LOOK_MS) if partitions else {}
    except (KafkaError, KeyError):  # KeyError: one has no leader
        return None


@contextmanager
def _connecting(settings: Settings) -> Iterator[None]:
    """As `translated`, and with the reason why no connection could be made."""
    reasons.clear()
    try:
        with translated(settings):
            yield
    except ServerUnreachable as error:
        raise reasons.explain(settings) or error from None


@contextmanager
def translated(settings: Settings) -> Iterator[None]:
    """Turn Kafka's errors into ours.

    Raises:
        ServerUnreachable: no broker answers in time.
        ServerRefused: authentication or authorization failed.
        TopicMissing: a topic does not exist.
    """
    servers = ", ".join(settings.brokers)
    try:
        yield
    except (SaslAuthenticationFailedError, AuthorizationError) as error:
        why = ": ".join((type(error).__name__, *map(str, error.args)))
        raise ServerRefused(f"Kafka at {servers} refused us: {why}", hint=user_hint(settings)) from None
    except UnknownTopicOrPartitionError:
        raise TopicMissing from None
    except (KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError, RetriableError, OSError) as error:
        raise unreachable(settings, error) from None
    except KafkaError as error:
        raise ServerRefused(f"Kafka at {servers} refused a request: {type(error).__name__}: {error}") from None


def unreachable(settings: Settings, error: BaseException) -> ServerUnreachable:
    """The error that names the brokers and says what to do."""
    return missed.explain(settings) or ServerUnreachable(
        f"Kafka at {', '.join(settings.brokers)} cannot be reached ({type(error).__name__})",
        hint=REACH_HINT,
    )
