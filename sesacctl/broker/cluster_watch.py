"""The cluster, its logs and the group once a second, over connections that stay: far less work than `read_cluster`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError
from kafka.structs import OffsetAndTimestamp

from sesacctl.broker.clients import admin
from sesacctl.broker.cluster import Cluster, cluster_of, led_partitions, newest_of
from sesacctl.broker.errors import translate_errors
from sesacctl.broker.groups import read_members
from sesacctl.broker.kafka_python.admin_requests import brokers_and_topics, list_offsets
from sesacctl.broker.offsets import LogOffsets
from sesacctl.broker.topics import raise_missing
from sesacctl.events import PARTITIONS
from sesacctl.settings import Settings

STARTS_SECONDS = 10.0
"""Where logs begin changes by retention alone: it is asked so often."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ClusterLook:
    """The cluster and our logs; where a leader does not answer, its logs are as they were when it did."""

    cluster: Cluster
    logs: list[LogOffsets]


class ClusterWatch:
    """Looks as often as it is asked; threads may share it. Of logs, `committed` and open transactions are not asked."""

    def __init__(self, settings: Settings, *, seconds: float) -> None:
        """The first contact and each request take at most `seconds`."""
        self._settings, self._seconds = settings, seconds
        self._lock = threading.Lock()
        self._client: KafkaAdminClient | None = None
        self._ends: dict[TopicPartition, int] = {}
        self._times: dict[TopicPartition, int] = {}
        self._starts: dict[TopicPartition, int] = {}
        self._starts_at = float("-inf")
        self._topics: dict[str, dict[str, Any]] = {}

    def look(self) -> ClusterLook:
        """How it is now.

        Raises:
            TopicMissing: one of the topics does not exist.
            ServerUnreachable: no broker answers in time.
            ServerRefused: authentication or authorization failed.
        """
        with self._lock, translate_errors(self._settings):
            return self._connected(self._look)

    def logs(self) -> list[LogOffsets]:
        """Where the logs end now whose leader answers, of the topics as of the last look; errors as `look`."""
        with self._lock, translate_errors(self._settings):
            return self._connected(self._later)

    def close(self) -> None:
        """Give the connections up; the next look makes new ones."""
        with self._lock:
            self._close()

    def _connected(self, work: Callable[[KafkaAdminClient], T]) -> T:
        """What `work` returns; once more with new connections, if those that were there have become useless."""
        kept = self._client
        try:
            return self._try(work)
        except KafkaError:
            if kept is None:
                raise
            return self._try(work)

    def _try(self, work: Callable[[KafkaAdminClient], T]) -> T:
        if self._client is None:
            self._client = admin(self._settings, timeout_ms=int(self._seconds * 1000))
        try:
            return work(self._client)
        except Exception:
            self._close()
            raise

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _look(self, client: KafkaAdminClient) -> ClusterLook:
        names = [self._settings.topic(kind) for kind in PARTITIONS]
        brokers, found = brokers_and_topics(client, names)
        self._topics = {topic["name"]: topic for topic in found if not topic["error_code"]}
        raise_missing(self._settings, names, self._topics)
        group = read_members(client, self._settings.kafka_group)
        led = {tp: leader for tp, leader in led_partitions(self._topics).items() if leader in brokers}
        before = dict(self._ends)
        self._read_ends(client, led)
        if self._ends != before:
            self._times |= {tp: each.timestamp for tp, each in _ask(client, led, OffsetSpec.MAX_TIMESTAMP).items()}
        cluster = cluster_of(
            brokers,
            self._topics,
            group,
            newest=newest_of({tp: self._times[tp] for tp in self._times.keys() & led.keys()}),
            ends={tp: self._ends[tp] for tp in self._ends.keys() & led.keys()},
        )
        return ClusterLook(cluster, self._offsets())

    def _later(self, client: KafkaAdminClient) -> list[LogOffsets]:
        answered = self._read_ends(client, led_partitions(self._topics))
        return [log for log in self._offsets() if TopicPartition(log.topic, log.partition) in answered]

    def _read_ends(self, client: KafkaAdminClient, led: Mapping[TopicPartition, int]) -> Set[TopicPartition]:
        """Begins before ends: a log has no negative length. Returns the logs that ends were told of."""
        if time.monotonic() - self._starts_at > STARTS_SECONDS or not led.keys() <= self._starts.keys():
            self._starts |= {tp: each.offset for tp, each in _ask(client, led, OffsetSpec.EARLIEST).items()}
            self._starts_at = time.monotonic()
        ends = {tp: each.offset for tp, each in _ask(client, led, OffsetSpec.LATEST).items()}
        self._ends |= ends
        return ends.keys()

    def _offsets(self) -> list[LogOffsets]:
        """Every partition of which begin and end are known, in order."""
        kinds = {self._settings.topic(kind): kind for kind in PARTITIONS}
        found = []
        for name, kind in kinds.items():
            topic = self._topics[name]
            for number in sorted(each["partition_index"] for each in topic["partitions"]):
                tp = TopicPartition(name, number)
                if tp in self._ends and tp in self._starts:
                    found.append(
                        LogOffsets(
                            kind=kind, topic=name, topic_id=UUID(str(topic["topic_id"])), partition=number,
                            start=self._starts[tp], end=self._ends[tp], stable_end=self._ends[tp], committed=None,
                        )
                    )  # fmt: skip
        return found


def _ask(
    client: KafkaAdminClient, led: Mapping[TopicPartition, int], spec: OffsetSpec
) -> dict[TopicPartition, OffsetAndTimestamp]:
    """Of those leaders that answer; the first error if none does."""
    found, errors = list_offsets(client, led, spec)
    if errors and not found:
        raise errors[0]
    return found
