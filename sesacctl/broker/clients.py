"""Kafka clients made from settings."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer

from sesacctl.broker.addresses import missed
from sesacctl.broker.bootstrap import GRACE_SECONDS, reachable
from sesacctl.broker.errors import translate_errors, unreachable
from sesacctl.broker.kafka_python import connections
from sesacctl.broker.kafka_python.assignor import ByHost
from sesacctl.broker.kafka_python.connection_errors import Reasons
from sesacctl.broker.kafka_python.consumer_records import fast_reading
from sesacctl.broker.kafka_python.consumer_state import (
    highwater,
    is_connected,
    leader_epoch,
    log_ends,
    log_starts,
    partitions,
    position,
    refresh_topics,
    seek,
    topic_id,
)
from sesacctl.broker.kafka_python.group_protocol import RoundRobin, notice_fencing
from sesacctl.broker.kafka_python.leader_changes import follow_leaders
from sesacctl.broker.kafka_python.producer_recovery import make_recoverable
from sesacctl.broker.kafka_python.rebootstrap import ask_bootstrap_servers_again
from sesacctl.broker.security import security_options
from sesacctl.errors import ServerUnreachable
from sesacctl.settings import Settings

__all__ = [
    "BOOTSTRAP_TIMEOUT_MS",
    "CLIENT_ID",
    "LINGER_MS",
    "admin",
    "admin_client",
    "connection_options",
    "consumer",
    "highwater",
    "is_connected",
    "leader_epoch",
    "log_ends",
    "log_starts",
    "partitions",
    "position",
    "producer",
    "refresh_topics",
    "seek",
    "topic_id",
    "translate_errors",
    "unreachable",
]

CLIENT_ID = "sesacctl"
BOOTSTRAP_TIMEOUT_MS = 6_000  # a one-shot command answers within 10 s
LINGER_MS = 10  # at most: see `linger.Linger`
REQUEST_TIMEOUT_MS = 10_000
SESSION_TIMEOUT_MS = 10_000
MAX_POLL_RECORDS = 4_000
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
        ConfigurationError: settings that belong together are not there, or a file or function cannot be used.
    """
    options = connection_options(settings) | {"bootstrap_timeout_ms": timeout_ms}
    if len(settings.brokers) == 1:
        return options, []
    started = time.monotonic()
    found = reachable(settings, seconds=timeout_ms / 3000, grace=GRACE_SECONDS)
    options["bootstrap_servers"] = found.answering or settings.brokers
    options["bootstrap_timeout_ms"] -= int((time.monotonic() - started) * 1000)
    return options, found.silent


def admin(settings: Settings, *, timeout_ms: int = BOOTSTRAP_TIMEOUT_MS) -> KafkaAdminClient:
    """An admin client; close it. `timeout_ms` bounds the first contact, and each request.

    Raises:
        ServerUnreachable: no broker answers in time.
        ServerRefused: authentication or authorization failed.
        ConfigurationError: settings that belong together are not there, or a file or function cannot be used.
    """
    with _connecting(settings) as watching:
        options, silent = _first_contact(settings, timeout_ms)
        client = KafkaAdminClient(**options, **watching, request_timeout_ms=timeout_ms)
    manager = connections.manager_of(client)
    connections.limit_connecting(manager, timeout_ms)
    missed.watch(manager, settings)
    connections.avoid(manager, silent, BOOTSTRAP_TIMEOUT_MS)
    connections.wait_for_backoff(manager, timeout_ms)
    return client


@contextmanager
def admin_client(settings: Settings, *, timeout_ms: int | None = None) -> Iterator[KafkaAdminClient]:
    """An admin client for the time of the block, in which Kafka's errors become ours.

    `timeout_ms` bounds the first contact, and each request; None: `BOOTSTRAP_TIMEOUT_MS`.

    Raises:
        ServerUnreachable: no broker answers in time.
        ServerRefused: authentication or authorization failed.
        TopicMissing: a topic does not exist.
        ConfigurationError: settings that belong together are not there, or a file or function cannot be used.
    """
    client = admin(settings) if timeout_ms is None else admin(settings, timeout_ms=timeout_ms)
    try:
        with translate_errors(settings):
            yield client
    finally:
        client.close()


def producer(settings: Settings, *, delivery_seconds: float) -> KafkaProducer:
    """An idempotent producer with acks=all, for `Sender`; it does not bound its own memory.

    An event fails when it was not acknowledged within `delivery_seconds`.

    Raises:
        ServerUnreachable: no broker answers in time.
        ServerRefused: authentication or authorization failed.
        ConfigurationError: settings that belong together are not there, or a file or function cannot be used.
    """
    delivery_ms = int(delivery_seconds * 1000)
    with _connecting(settings) as watching:
        options, _ = _first_contact(settings, BOOTSTRAP_TIMEOUT_MS)
        client = KafkaProducer(
            enable_idempotence=True,  # explicit: acks=1 alone would turn it off silently
            acks="all",
            linger_ms=LINGER_MS,
            # What comes while a broker has a request goes with the next one: fewer and larger ones where time is short.
            max_in_flight_requests_per_connection=1,
            delivery_timeout_ms=delivery_ms,
            # A broker that hangs is given up after this; sending again is safe, because the brokers drop duplicates.
            request_timeout_ms=min(REQUEST_TIMEOUT_MS, delivery_ms - LINGER_MS),
            max_block_ms=BOOTSTRAP_TIMEOUT_MS,
            metrics_enabled=False,
            allow_auto_create_topics=False,
            **options,
            **watching,
        )
    make_recoverable(client)
    _prepare_for_long(connections.manager_of(client), settings)
    return client


def consumer(settings: Settings, *, group_instance_id: str | None, partition_bytes: int | None = None) -> KafkaConsumer:
    """A consumer whose offsets are ours alone: no automatic commit, no automatic reset, raw bytes.

    `group_instance_id` makes it a static member of `settings.kafka_group`; None leaves it outside any group,
    for `assign`. `partition_bytes`: about how much it fetches of a partition at a time.

    Raises:
        ServerUnreachable: no broker answers in time.
        ServerRefused: authentication or authorization failed.
        ConfigurationError: settings that belong together are not there, or a file or function cannot be used.
    """
    group: dict[str, Any] = {}
    if group_instance_id is not None:
        group = {
            "group_id": settings.kafka_group,
            "group_instance_id": group_instance_id,
            "session_timeout_ms": SESSION_TIMEOUT_MS,
            "heartbeat_interval_ms": SESSION_TIMEOUT_MS // 5,
            # The second is for a group in which an older sesacctl, or another application, still is.
            "partition_assignment_strategy": [ByHost, RoundRobin],
        }
    if partition_bytes is not None:
        group["max_partition_fetch_bytes"] = partition_bytes
    with _connecting(settings) as watching:
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
            **watching,
        )
    manager = connections.manager_of(client)
    _prepare_for_long(manager, settings)
    connections.avoid(manager, silent, BOOTSTRAP_TIMEOUT_MS)
    fast_reading(client)
    follow_leaders(client)
    if group_instance_id is not None:
        notice_fencing(client)
    return client


def _prepare_for_long(manager: connections.Manager, settings: Settings) -> None:
    """What a client needs that outlives the brokers that it has found at its start."""
    missed.watch(manager, settings)
    ask_bootstrap_servers_again(manager, settings)


@contextmanager
def _connecting(settings: Settings) -> Iterator[dict[str, Any]]:
    """As `translate_errors`, with the reason why no connection could be made; yields options for the client."""
    reasons = Reasons()
    try:
        with translate_errors(settings):
            yield reasons.watching()
    except ServerUnreachable as error:
        raise reasons.explain(settings) or error from None
