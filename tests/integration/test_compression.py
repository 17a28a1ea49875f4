"""What other clients write: every compression there is, and one that this installation cannot read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.record.default_records import DefaultRecordBatch

from sesacctl.events import ORDERS, USERS, Kind
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import check, store_all, stored
from tests.helpers.events import Message, add_parents, many_orders, message, query, user
from tests.helpers.topics import make_topics
from tests.helpers.waiting import BUSY_SECONDS

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
HEADERS: list[tuple[str, bytes | None]] = [("trace", b"\xff\x00"), ("none", None)]


def write(settings: Settings, codec: str, messages: Iterable[Message], *, kind: Kind = ORDERS) -> None:
    """Send with librdkafka, in batches, with headers."""
    producer = Producer(
        {
            "bootstrap.servers": ",".join(settings.brokers),
            "compression.type": codec,
            "linger.ms": 100,
            "acks": "all",
        }
    )
    refused: list[Any] = []
    for key, value in messages:
        producer.produce(
            settings.topic(kind),
            key=key,
            value=value,
            headers=HEADERS,
            partition=0,
            on_delivery=lambda error, _: refused.append(error) if error else None,
        )
    assert producer.flush(30) == 0
    assert not refused


def set_compression(settings: Settings, kind: Kind, codec: str) -> None:
    """Have the brokers compress what comes, as Java does it; they do some moments later."""
    admin = KafkaAdminClient(bootstrap_servers=settings.brokers)
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, settings.topic(kind), {"compression.type": codec})])
    admin.close()


def test_every_client_and_broker_compression_is_read(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Counter[int]()
    original = DefaultRecordBatch._maybe_uncompress

    def counted(batch: Any) -> None:
        seen[batch.compression_type] += batch.records_count
        original(batch)

    monkeypatch.setattr(DefaultRecordBatch, "_maybe_uncompress", counted)
    make_topics(settings)
    add_parents(settings)
    set_compression(settings, USERS, "snappy")
    for codec in CODECS:
        write(settings, codec, [*many_orders(49, users=1), (b"u1", b"not an event" * 10)])
    write(settings, "none", [message(user(number)) for number in range(100, 150)], kind=USERS)
    store_all(settings)
    assert (seen[0], seen[1], seen[2], seen[3], seen[4]) == (50, 50, 100, 50, 50)
    kept = query(settings, "SELECT headers FROM dead_letters")
    assert len(kept) == 5
    assert all(headers == kept[0][0] and len(headers) == len(HEADERS) for (headers,) in kept)
    check(settings, 49 * 5)  # deep: the headers that were kept are those that Kafka has


def test_a_batch_that_cannot_be_read_stops_all_once_and_is_named(
    settings: Settings, sesacctl: Cli, tmp_path: Path
) -> None:
    make_topics(settings)
    add_parents(settings)
    write(settings, "none", many_orders(10, users=1))
    write(settings, "snappy", many_orders(10, users=1))
    (tmp_path / "snappy.py").write_text("raise ImportError\n")
    done = sesacctl("consume", "-n", 3, timeout=60 + BUSY_SECONDS, PYTHONPATH=str(tmp_path))
    assert done.returncode == 5, done.stderr
    assert f"{settings.topic(ORDERS)}-0: the batch at offset 10 (snappy) needs a package" in done.stderr
    assert "pip install python-snappy" in done.stderr
    assert "Traceback" not in done.stderr
    assert stored(settings) == 10
    done = sesacctl("consume", "-n", 3, "--until-empty")
    assert done.returncode == 0, done.stderr
    check(settings, 20)
