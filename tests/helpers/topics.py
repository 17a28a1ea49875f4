"""Topics for tests that are not about replicas."""

from __future__ import annotations

from sesacctl.broker.topic_state import SAFE, brokers_with
from sesacctl.broker.topics import RETENTION_MS
from sesacctl.events import PARTITIONS
from sesacctl.settings import Settings
from sesacctl.testing.topics import admin_of
from tests.helpers.waiting import wait_until


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
