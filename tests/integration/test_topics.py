"""`topics init` and `topics describe` on three brokers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from sesacctl.broker import topics
from sesacctl.broker.kafka_python.admin_requests import living_brokers
from sesacctl.broker.topic_state import TopicState
from sesacctl.broker.topics import RETENTION_MS
from sesacctl.errors import ServerRefused, TopicMissing
from sesacctl.events import PARTITIONS, Kind
from sesacctl.settings import Settings
from tests.conftest import Cli


@pytest.fixture
def admin(settings: Settings) -> Iterator[Any]:
    client = KafkaAdminClient(bootstrap_servers=settings.brokers)
    yield client
    client.close()


def actions(result: topics.TopicsResult) -> list[str]:
    return [change.action for change in result.topics]


def state(settings: Settings, kind: Kind) -> TopicState:
    return dict(zip(PARTITIONS, topics.describe(settings), strict=True))[kind]


def make(admin: Any, settings: Settings, kind: str, *, partitions: int, replicas: int, **configs: str) -> None:
    """A topic that somebody else has made."""
    options = {"num_partitions": partitions, "replication_factor": replicas, "configs": configs}
    admin.create_topics({settings.topic(kind): options}, wait_for_metadata=True)


def test_new_topics_are_what_they_should_be(settings: Settings) -> None:
    assert actions(topics.init(settings)) == ["created"] * 3
    for kind, partitions in PARTITIONS.items():
        found = state(settings, kind)
        assert found.topic == settings.topic(kind)
        assert (len(found.partitions), found.retention_ms, found.min_insync_replicas) == (partitions, RETENTION_MS, 2)
        assert all(len(each.replicas) == 3 and each.leader is not None for each in found.partitions)
        assert (found.leaderless, found.under_replicated) == (0, 0)


@pytest.mark.parametrize("version", [(3, 6), (3, 9), (4, 0)], ids=str)
def test_living_brokers_are_known_under_older_api_versions(settings: Settings, version: tuple[int, int]) -> None:
    client = KafkaAdminClient(bootstrap_servers=settings.brokers, api_version=version)
    assert living_brokers(client) == [1, 2, 3]
    client.close()


def test_a_second_run_changes_nothing(settings: Settings) -> None:
    topics.init(settings)
    before = topics.require(settings)
    result = topics.init(settings)
    assert actions(result) == ["unchanged"] * 3
    assert result.warnings == []
    assert topics.require(settings) == before


def test_a_dry_run_tells_and_changes_nothing(settings: Settings, sesacctl: Cli) -> None:
    done = sesacctl("topics", "init", "--dry-run", "-o", "json")
    assert done.returncode == 0
    document = json.loads(done.stdout)
    assert document["dry_run"]
    assert [topic["action"] for topic in document["topics"]] == ["created"] * 3
    with pytest.raises(TopicMissing):
        topics.require(settings)


def test_init_reconciles_its_settings_and_keeps_the_others(settings: Settings, admin: Any) -> None:
    foreign = {"retention.ms": "1000", "min.insync.replicas": "1", "max.message.bytes": "2000000"}
    make(admin, settings, "orders", partitions=4, replicas=3, **foreign)
    dry = topics.init(settings, dry_run=True)
    assert state_or_none(settings) is None  # the two others were not made
    result = topics.init(settings)
    assert actions(dry) == actions(result) == ["changed", "created", "created"]
    assert dry.topics[0].details == result.topics[0].details
    assert result.topics[0].details == [
        "partitions 4 → 9",
        f"retention.ms 1000 → {RETENTION_MS}",
        "min.insync.replicas 1 → 2",
    ]
    assert any("keys move" in warning for warning in result.warnings)
    found = state(settings, Kind.ORDERS)
    assert (len(found.partitions), found.retention_ms, found.min_insync_replicas) == (9, RETENTION_MS, 2)
    resource = ConfigResource(ConfigResourceType.TOPIC, settings.topic("orders"))
    configs = admin.describe_configs([resource])["topic"][settings.topic("orders")]
    assert configs["max.message.bytes"]["value"] == "2000000"


def state_or_none(settings: Settings) -> list[TopicState] | None:
    try:
        return topics.describe(settings)
    except TopicMissing:
        return None


def test_missing_replicas_are_added_before_min_isr_is_raised(settings: Settings, admin: Any) -> None:
    make(admin, settings, "users", partitions=3, replicas=1)
    result = topics.init(settings)
    assert result.topics[1].details[0] == "replicas 1 → 3"
    found = state(settings, Kind.USERS)
    assert all(sorted(each.isr) == [1, 2, 3] for each in found.partitions)
    assert found.min_insync_replicas == 2
    assert actions(topics.init(settings)) == ["unchanged"] * 3


def test_partitions_are_never_taken_away(settings: Settings, admin: Any) -> None:
    make(admin, settings, "products", partitions=5, replicas=3)
    result = topics.init(settings)
    assert any("5 partitions, more than the 3" in warning for warning in result.warnings)
    assert len(state(settings, Kind.PRODUCTS).partitions) == 5


def test_several_inits_at_once_all_succeed(settings: Settings) -> None:
    errors: list[BaseException] = []

    def work() -> None:
        try:
            topics.init(settings)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert errors == []
    assert actions(topics.init(settings)) == ["unchanged"] * 3


def test_a_topic_name_refused_by_kafka_is_reported(settings: Settings) -> None:
    with pytest.raises(ServerRefused):
        topics.init(settings.model_copy(update={"kafka_topic_prefix": "x" * 300}))


def test_describe_shows_each_topic(settings: Settings, sesacctl: Cli) -> None:
    topics.init(settings)
    done = sesacctl("topics", "describe", "-o", "json")
    assert done.returncode == 0
    items = json.loads(done.stdout)["items"]
    assert [item["topic"] for item in items] == [settings.topic(kind) for kind in PARTITIONS]
    assert [each["partition"] for each in items[0]["partitions"]] == list(range(9))
    table = sesacctl("topics", "describe").stdout
    assert "27/27" in table
    assert "30 d" in table


def test_describe_names_what_is_missing(settings: Settings, sesacctl: Cli) -> None:
    done = sesacctl("topics", "describe")
    assert done.returncode == 5
    assert settings.topic("products") in done.stderr
    assert "sesacctl topics init" in done.stderr
