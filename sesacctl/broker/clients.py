"""Kafka clients made from settings, and Kafka's errors in our words."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.consumer.group import RoundRobinPartitionAssignor
from kafka.errors import (
    AuthorizationError,
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    RetriableError,
    SaslAuthenticationFailedError,
    UnknownTopicOrPartitionError,
)

from sesacctl.errors import ConfigurationError, ServerRefused, ServerUnreachable, TopicMissing
from sesacctl.settings import Settings

BOOTSTRAP_TIMEOUT_MS = 6_000  # a one-shot command answers within 10 s
SESSION_TIMEOUT_MS = 10_000
MAX_POLL_RECORDS = 4_000
_KEEPALIVE = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]


def _options(settings: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "bootstrap_servers": settings.brokers,
        "bootstrap_timeout_ms": BOOTSTRAP_TIMEOUT_MS,
        "client_id": "sesacctl",
        "security_protocol": settings.kafka_security_protocol,
        "reconnect_backoff_max_ms": 1_000,
        "socket_options": _KEEPALIVE,
    }
    if settings.kafka_security_protocol.startswith("SASL"):
        if not (settings.kafka_sasl_mechanism and settings.kafka_sasl_username and settings.kafka_sasl_password):
            raise ConfigurationError(
                f"KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol} needs KAFKA_SASL_MECHANISM, "
                "KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD"
            )
        options |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
        }
    if settings.kafka_ssl_cafile:
        if not settings.kafka_ssl_cafile.is_file():
            raise ConfigurationError(f"KAFKA_SSL_CAFILE: {settings.kafka_ssl_cafile} is not a file")
        options["ssl_cafile"] = str(settings.kafka_ssl_cafile)
    return options


def admin(settings: Settings) -> KafkaAdminClient:
    """An admin client; close it.

    Raises:
        ServerUnreachable, ServerRefused, ConfigurationError
    """
    with translated(settings):
        return KafkaAdminClient(request_timeout_ms=BOOTSTRAP_TIMEOUT_MS, **_options(settings))


def producer(settings: Settings) -> KafkaProducer:
    """An idempotent producer with acks=all, zstd, 256 KB batches and 20 ms linger; it does not bound its own memory.

    Raises:
        ServerUnreachable, ServerRefused, ConfigurationError
    """
    with translated(settings):
        return KafkaProducer(
            enable_idempotence=True,  # explicit: acks=1 alone would turn it off silently
            acks="all",
            compression_type="zstd",
            linger_ms=20,
            batch_size=256 * 1024,
            max_block_ms=BOOTSTRAP_TIMEOUT_MS,
            metrics_enabled=False,
            allow_auto_create_topics=False,
            **_options(settings),
        )


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
            "partition_assignment_strategy": [RoundRobinPartitionAssignor],
        }
    with translated(settings):
        return KafkaConsumer(
            enable_auto_commit=False,
            auto_offset_reset="none",  # any other value resumes silently after records have expired
            allow_auto_create_topics=False,
            isolation_level="read_committed",
            max_poll_records=MAX_POLL_RECORDS,
            metadata_max_age_ms=30_000,
            metrics_enabled=False,
            **group,
            **_options(settings),
        )


def topic_id(client: KafkaConsumer, topic: str) -> UUID | None:
    """The topic's id in the metadata that the consumer has now; None when it knows of no such topic.

    A topic that is deleted and created again keeps its name and gets another id.
    """
    found: UUID | None = client._cluster.topic_id(topic)  # kafka-python has no public way
    return found


def position(client: KafkaConsumer, partition: TopicPartition) -> int | None:
    """The offset of the next record to be polled, from memory; None while it is not known."""
    if not client._subscription.is_assigned(partition):
        return None
    found = client._subscription.position(partition)
    return None if found is None else int(found.offset)


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
        raise ServerRefused(
            f"Kafka at {servers} refused us: {type(error).__name__}", hint="check KAFKA_SASL_USERNAME and its rights"
        ) from None
    except UnknownTopicOrPartitionError:
        raise TopicMissing from None
    except (KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError, RetriableError, OSError) as error:
        raise unreachable(settings, error) from None
    except KafkaError as error:
        raise ServerRefused(f"Kafka at {servers} refused a request: {type(error).__name__}: {error}") from None


def unreachable(settings: Settings, error: BaseException) -> ServerUnreachable:
    """The error that names the brokers and says what to do."""
    return ServerUnreachable(
        f"Kafka at {', '.join(settings.brokers)} cannot be reached ({type(error).__name__})",
        hint="sesacctl up, or set KAFKA_BOOTSTRAP_SERVERS",
    )
