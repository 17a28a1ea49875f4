"""Topics for tests that are not about replicas."""

from __future__ import annotations

from kafka import KafkaAdminClient

from sesacctl.broker.topic_state import SAFE, brokers_with
from sesacctl.broker.topics import RETENTION_MS
from sesacctl.events import PARTITIONS
from sesacctl.settings import Settings
from tests.helpers.waiting import wait_until

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


def make_topics(settings: Settings) -> None:
    """The three as `topics init` makes them, but with one replica of each partition, going around the brokers.

    A third of the logs is made, filled and deleted so, which is most of what the brokers do for a short test.
    """
    admin = admin_of(settings.kafka_bootstrap_servers)
    configs = {"retention.ms": str(RETENTION_MS), "min.insync.replicas": "1", **SAFE}
    wanted = {
        settings.topic(kind): {"num_partitions": number, "replication_factor": 1, "configs": configs}
        for kind, number in PARTITIONS.items()
    }
    admin.create_topics(wanted)
    # Each broker has a partition of each topic, so each knows of all.
    logs = sum(PARTITIONS.values())
    wait_until(lambda: len(brokers_with(admin, list(wanted))) == logs, message="the brokers do not know the topics")


def delete_topics(admin: KafkaAdminClient, settings: Settings) -> None:
    """Those of a test that are there."""
    own = [name for name in admin.list_topics() if name.startswith(settings.kafka_topic_prefix)]
    if own:
        admin.delete_topics(own)
