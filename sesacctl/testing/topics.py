"""What tests leave in Kafka, deleted by its prefix."""

from __future__ import annotations

from kafka import KafkaAdminClient

_admins: dict[str, KafkaAdminClient] = {}


def admin_of(servers: str) -> KafkaAdminClient:
    """One for all tests: a client's first contact costs as much as a small test."""
    if servers not in _admins:
        _admins[servers] = KafkaAdminClient(bootstrap_servers=servers.split(","))
    return _admins[servers]


def close_admin(servers: str) -> None:
    """Disconnect, if there is one."""
    if servers in _admins:
        _admins.pop(servers).close()


def delete_topics(servers: str, prefix: str) -> None:
    """Those whose names begin so."""
    admin = admin_of(servers)
    own = [name for name in admin.list_topics() if name.startswith(prefix)]
    if own:
        admin.delete_topics(own)
