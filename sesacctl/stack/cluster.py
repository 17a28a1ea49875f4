"""Which brokers take part in a cluster, asked from the brokers themselves."""

from __future__ import annotations

from sesacctl.stack import ports

_TIMEOUT_MS = 3000


def members(address: str) -> set[int]:
    """Numbers of the brokers that the one at `address` (`host:port`) sees alive; empty when it does not answer."""
    if not ports.answers(int(address.rpartition(":")[2])):
        return set()
    from kafka import KafkaAdminClient
    from kafka.errors import KafkaError

    from sesacctl.broker.kafka_python.admin_requests import living_brokers

    try:
        client = KafkaAdminClient(
            bootstrap_servers=address,
            bootstrap_timeout_ms=_TIMEOUT_MS,
            request_timeout_ms=_TIMEOUT_MS,
            client_id="sesacctl-stack",
        )
    except KafkaError:
        return set()
    try:
        return set(living_brokers(client))
    except KafkaError:
        return set()
    finally:
        client.close()
