"""Producers on real servers: what they send, how fast, what they record, and how they stop."""

from __future__ import annotations

import doctest
import json
import os
import pty
import random
import re
import signal
import socket
import statistics
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from sesacctl.broker import Sender
from sesacctl.broker.limits import MAX_EVENT_BYTES
from sesacctl.broker.sender import partition_of
from sesacctl.errors import EventTooLarge, TopicMissing
from sesacctl.events import Order, OrderEvent, Product, ProductEvent, User, UserEvent, uuid7
from sesacctl.pipeline.produce.ledger import read_ledger
from sesacctl.settings import Settings
from sesacctl.testing.loop import Part
from tests.conftest import Cli
from tests.helpers.servers import PrivateServer
from tests.helpers.shop import fill_cache, producing, read_partitions, read_topic, row_ids
from tests.helpers.topics import make_topics
from tests.helpers.waiting import BUSY_SECONDS, wait_until


@pytest.fixture
def ready(settings: Settings) -> Settings:
    """Topics and a full cache."""
    make_topics(settings)
    fill_cache(settings)
    return settings


def figures(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The JSON on stdout."""
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_order_arrives_once_under_its_user_s_key(ready: Settings, sesacctl: Cli) -> None:
    done = sesacctl("produce", "--count", 3000, "--carts", "1-10", "--new-users", 20, "-o", "json")
    assert done.returncode == 0, done.stderr
    report = figures(done)
    assert (report["orders"], report["failed"], report["in_flight"], report["refused"]) == (3000, 0, 0, 0)
    assert report["acknowledged"] == report["sent"] == 3000 + report["new_users"] + report["new_products"]
    partitions = read_partitions(ready)
    assert all(partition_of(record.key, 9) == number for number, found in partitions.items() for record in found)
    records = [record for found in partitions.values() for record in found]
    orders = [json.loads(record.value)["order"] for record in records]
    assert len({order["order_id"] for order in orders}) == len(orders) == 3000
    for record, order in zip(records, orders, strict=True):
        assert record.key == order["user_id"].encode()
    carts: dict[tuple[str, str], int] = {}
    for order in orders:
        cart = order["user_id"], order["created_at"]
        carts[cart] = carts.get(cart, 0) + 1
    assert 300 <= len(carts) < 1500
    assert len(row_ids(ready, "users")) == report["new_users"]
    assert len(row_ids(ready, "products")) == report["new_products"]


def test_the_same_seed_and_cache_make_the_same_orders(ready: Settings, sesacctl: Cli) -> None:
    hours: set[int] = set()
    while len(hours) != 1:  # the weights depend on it
        hours = {datetime.now(UTC).hour}
        for _ in range(2):
            done = sesacctl("produce", "--count", 400, "--carts", "1-10", "--random-seed", 7, "--new-users", 50)
            assert done.returncode == 0, done.stderr
        hours.add(datetime.now(UTC).hour)
    orders = sorted((json.loads(record.value)["order"] for record in read_topic(ready)), key=lambda o: o["order_id"])
    parts = orders[-800:-400], orders[-400:]
    runs = [[{**order, "order_id": "", "created_at": ""} for order in part] for part in parts]
    # Within a cart, ids of one millisecond need not be in the order of making.
    assert sorted(map(str, runs[0])) == sorted(map(str, runs[1]))


def test_the_pace_is_held(ready: Settings) -> None:
    """Within one per cent over the whole run; from order to order, a busy machine may hold it up and it catches up."""
    newcomers = {"new_users_per_second": 5.0, "new_products_per_second": 2.5}
    with producing(ready, rate=500, seconds=4.0, lines=(1, 10), **newcomers) as running:
        report = running.finish()
    assert report.orders == pytest.approx(500 * 4.0, rel=0.01)
    assert report.rate == pytest.approx(report.orders / report.seconds, rel=0.001)  # seconds are rounded
    made = sorted(
        datetime.fromisoformat(json.loads(record.value)["order"]["created_at"]).timestamp()
        for record in read_topic(ready)
    )
    assert len(made) == report.orders
    assert statistics.linear_regression(made, range(len(made))).slope == pytest.approx(500, rel=0.05)
    assert (report.new_users, report.new_products) == (20, 10)
    assert (len(row_ids(ready, "users")), len(row_ids(ready, "products"))) == (20, 10)
    assert report.ack_p99_ms is not None
    assert report.ack_p50_ms is not None
    assert report.ack_p50_ms <= report.ack_p99_ms
    assert report.linger_ms is not None
    assert report.broker_ms is not None
    assert 0 < report.linger_ms < report.linger_ms + report.broker_ms < report.ack_p99_ms


def test_the_ledger_holds_every_intent_and_acknowledgement(ready: Settings, sesacctl: Cli) -> None:
    done = sesacctl("produce", "--count", 2000, "--new-users", 30, "--ledger", "l.jsonl")
    assert done.returncode == 0, done.stderr
    entries = list(read_ledger(sesacctl.folder / "l.jsonl"))
    for kind in ("orders", "users", "products"):
        sent = [entry.id for entry in entries if entry.kind == kind and not entry.acknowledged]
        acknowledged = [entry.id for entry in entries if entry.kind == kind and entry.acknowledged]
        assert sorted(sent) == sorted(acknowledged) == sorted(row_ids(ready, kind))
    assert len(entries) >= 4000


@pytest.mark.parametrize("kilobytes", [100, 1], ids=["in the middle", "at the first intents"])
def test_a_full_disk_stops_before_anything_unrecorded_is_sent(
    ready: Settings, environment: dict[str, str], tmp_path: Path, kilobytes: int
) -> None:
    """The limit on a file's size is reached as a full disk is: `write` fails, after a part of it perhaps."""
    path = tmp_path / "l.jsonl"
    command = f"ulimit -f {kilobytes}; exec {sys.executable} -m sesacctl produce --count 5000 --ledger {path} -o json"
    done = subprocess.run(
        ["bash", "-c", command], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 5, done.stderr
    assert "File too large" in done.stderr
    assert str(path) in done.stderr
    entries = list(read_ledger(path))
    recorded = {entry.id for entry in entries if not entry.acknowledged}
    in_kafka = row_ids(ready) + row_ids(ready, "users") + row_ids(ready, "products")
    assert len(in_kafka) == figures(done)["sent"] == figures(done)["acknowledged"] < 5000
    assert (len(in_kafka) > 0) is (kilobytes > 1)
    assert set(in_kafka) <= recorded
    assert {entry.id for entry in entries if entry.acknowledged} <= set(in_kafka)


def test_an_unopenable_ledger_is_refused_before_sending(ready: Settings, sesacctl: Cli) -> None:
    done = sesacctl("produce", "--count", 10, "--ledger", "no/such/folder/l.jsonl")
    assert done.returncode == 2
    assert "no/such/folder" in done.stderr
    assert read_topic(ready) == []


def test_redis_lost_in_mid_load_is_waited_for(
    ready: Settings, private_valkey: PrivateServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sesacctl")
    settings = private_valkey.over(ready)
    fill_cache(settings)
    with producing(settings, rate=300) as running:
        running.more(100)
        private_valkey.kill()
        wait_until(lambda: running.now().waiting_for == "the cache")
        before = running.now().orders
        wait_until(lambda: running.now().in_flight == 0)
        assert running.now().orders == before
        private_valkey.start()
        fill_cache(settings)
        running.more(100)
        assert running.now().waiting_for is None
        private_valkey.kill()
        wait_until(lambda: running.now().waiting_for == "the cache")
        report = running.end()
    assert report.waiting_for is None, "it has ended"
    assert report.acknowledged == report.sent == len(set(row_ids(ready)))
    told = [action for record in caplog.records if (action := getattr(record, "action", "")).startswith("produce.")]
    assert told == ["produce.waiting", "produce.resumed", "produce.waiting"]


def test_a_cache_refreshed_in_mid_load_is_used(ready: Settings) -> None:
    with producing(ready, rate=200) as running:
        running.more(50)
        fill_cache(ready, prefix="b")
        running.more(600)
        running.end()
    users = [
        json.loads(record.value)["order"]["user_id"] for record in sorted(read_topic(ready), key=lambda r: r.timestamp)
    ]
    change = next(number for number, user in enumerate(users) if user.startswith("b"))
    assert change > 0
    assert all(user.startswith("b") for user in users[change + 100 :])


def test_sigterm_lets_everything_in_flight_be_acknowledged(ready: Settings, sesacctl: Cli) -> None:
    process = sesacctl.start("produce", "-o", "json", "--ledger", "l.jsonl")
    ledger = sesacctl.folder / "l.jsonl"
    wait_until(lambda: ledger.exists() and b"acked" in ledger.read_bytes())
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    report = json.loads(out)
    assert report["acknowledged"] == report["sent"] > 0
    assert len(set(row_ids(ready))) == len(row_ids(ready)) == report["orders"]


@pytest.mark.parametrize("option", [("--rate", "-1"), ("--count", "0"), ("--carts", "5-2")])
def test_invalid_produce_options_are_refused_at_once(bare_sesacctl: Cli, option: tuple[str, str]) -> None:
    done = bare_sesacctl("produce", *option)
    assert (done.returncode, done.stdout) == (2, "")
    assert option[0] in done.stderr


def test_a_taken_metrics_port_is_refused_before_connecting(bare_sesacctl: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = bare_sesacctl("produce", "--metrics-port", taken.getsockname()[1], "--yes")
    assert (done.returncode, done.stdout) == (3, "")
    assert "Address already in use" in done.stderr


def test_an_empty_cache_is_named_at_the_start(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    done = sesacctl("produce", "--count", 1)
    assert done.returncode == 5
    assert "sesacctl cache refresh" in done.stderr


def test_a_missing_topic_is_named_with_the_command_that_makes_it(settings: Settings, sesacctl: Cli) -> None:
    fill_cache(settings)
    done = sesacctl("produce", "--count", 1)
    assert done.returncode == 5
    assert settings.topic("orders") in done.stderr
    assert "sesacctl topics init" in done.stderr


def test_brokers_that_are_all_down_are_named(settings: Settings, sesacctl: Cli) -> None:
    fill_cache(settings)
    nowhere = "127.0.0.1:1,127.0.0.1:2"
    done = sesacctl("produce", "--count", 1, KAFKA_BOOTSTRAP_SERVERS=nowhere, timeout=10 + BUSY_SECONDS)
    assert done.returncode == 4
    assert "127.0.0.1:1, 127.0.0.1:2" in done.stderr


def test_an_order_over_the_limit_is_skipped_and_reported(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    fill_cache(settings, users=1, region="서" * MAX_EVENT_BYTES)
    done = sesacctl("produce", "--count", 3, "--new-users", 0, "--new-products", 0, "-o", "json")
    assert done.returncode == 5
    assert (figures(done)["orders"], figures(done)["refused"], figures(done)["sent"]) == (3, 3, 0)
    assert "3 events were too large" in done.stderr
    assert len(done.stderr) < 2000
    assert read_topic(settings) == []


@pytest.mark.usefixtures("ready")
def test_each_interval_has_a_line_and_the_end_a_summary(sesacctl: Cli) -> None:
    plain = sesacctl.start("produce", "--rate", 50, "--duration", "5.5s")
    done = sesacctl("produce", "--rate", 50, "--duration", "5.5s", "-o", "jsonl")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 2
    assert lines[0]["seconds"] < lines[-1]["seconds"]
    assert 0 < lines[0]["orders"] < lines[-1]["orders"] <= 275
    summary, said = plain.communicate(timeout=60)
    assert plain.returncode == 0, said
    line = r"5 s: \d+ orders, \d+/s, in flight \d+, acknowledged \d+, failed 0, p99 \d+ ms\n"
    assert len(re.findall(line, said)) == 1, said
    for part in ("Produced", "orders", "acknowledged within"):
        assert part in summary
    assert "next: sesacctl consume" in said


@pytest.mark.usefixtures("ready")
def test_a_terminal_shows_a_live_screen(environment: dict[str, str], tmp_path: Path) -> None:
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "sesacctl", "produce", "--rate", "100", "--duration", "3s", "-o", "json"],
        env={**environment, "TERM": "xterm"},
        cwd=tmp_path,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=terminal,
    )
    os.close(terminal)
    shown = bytearray()

    def listen() -> None:
        while True:
            try:
                data = os.read(controller, 4096)
            except OSError:  # the process has closed its side
                return
            shown.extend(data)

    listener = threading.Thread(target=listen)
    listener.start()
    out, _ = process.communicate(timeout=60)
    listener.join(10)
    os.close(controller)
    assert process.returncode == 0
    assert json.loads(out)["orders"] == 300
    text = shown.decode()
    assert text.count("Producing") >= 2
    assert "\x1b[1A" in text  # the cursor goes up, to draw in place
    assert "acknowledged within" in text


NOW = datetime(2026, 11, 23, tzinfo=UTC)


def order(number: int, **values: Any) -> OrderEvent:
    row: dict[str, Any] = {
        "user_id": f"u{number % 7}",
        "product_id": "p1",
        "quantity": 1,
        "total_amount": 1000,
    } | values
    return OrderEvent(timestamp=NOW, order=Order(order_id=uuid7(), **row))


def test_the_library_publishes_any_event_with_its_key(settings: Settings) -> None:
    make_topics(settings)
    with Sender(settings) as sender:
        sender.publish(UserEvent(timestamp=NOW, user=User(user_id="U_1", name="홍길동")))
        sender.publish(ProductEvent(timestamp=NOW, product=Product(product_id="P_1", name="노트북", price=1)))
        sender.publish(order(1, user_id="U_1"))
    assert (sender.sent, sender.acknowledged, sender.failed, sender.in_flight) == (3, 3, 0, 0)
    with pytest.raises(ValueError, match="closed"):
        sender.publish(order(1))
    assert [record.key for kind in ("users", "products", "orders") for record in read_topic(settings, kind)] == [
        b"U_1",
        b"P_1",
        b"U_1",
    ]


def test_the_example_in_the_docstring_works(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in part.environment.items():
        monkeypatch.setenv(name, value)
    make_topics(part.settings)
    runner = doctest.DocTestRunner()
    for example in doctest.DocTestFinder().find(Sender, globs={}):
        runner.run(example)
    assert (runner.failures, runner.tries > 0) == (0, True)
    assert row_ids(part.settings, "users") == ["U_1"]


def test_events_of_one_key_stay_in_order(settings: Settings) -> None:
    make_topics(settings)
    with Sender(settings) as sender:
        for number in range(3000):
            sender.publish(order(number, quantity=number + 1))
    seen: dict[bytes, int] = {}
    for record in read_topic(settings):
        quantity = json.loads(record.value)["order"]["quantity"]
        assert seen.get(record.key, 0) < quantity
        seen[record.key] = quantity


def test_bytes_in_flight_are_bounded(settings: Settings) -> None:
    make_topics(settings)
    most = 0
    with Sender(settings, max_in_flight_bytes=20_000) as sender:
        for number in range(2000):
            sender.publish(order(number))
            most = max(most, sender.in_flight)
    assert sender.acknowledged == 2000
    assert 20 <= most <= 150


def test_an_event_too_large_is_refused_and_the_next_one_is_not(settings: Settings) -> None:
    make_topics(settings)
    with Sender(settings) as sender:
        with pytest.raises(EventTooLarge, match="U_1"):
            sender.publish(UserEvent(timestamp=NOW, user=User(user_id="U_1", name="x" * MAX_EVENT_BYTES)))
        sender.publish(UserEvent(timestamp=NOW, user=User(user_id="U_2", name="x" * (MAX_EVENT_BYTES - 200))))
    assert (sender.sent, sender.acknowledged) == (1, 1)


def test_a_sender_names_a_missing_topic(settings: Settings) -> None:
    with pytest.raises(TopicMissing, match="orders"):
        Sender(settings)


def test_a_topic_deleted_in_mid_load_is_named(ready: Settings) -> None:
    with producing(ready, rate=100, delivery_seconds=1.0) as running:
        running.more(50)
        admin = KafkaAdminClient(bootstrap_servers=ready.brokers)
        admin.delete_topics([ready.topic("orders")])
        admin.close()
        with pytest.raises(TopicMissing, match=ready.topic("orders")):
            running.finish(30)
        report = running.now()
    assert report.sent == report.acknowledged + report.failed
    assert report.failed > 0


def limit(settings: Settings, kind: str, size: int) -> None:
    """Let the topic take batches of so many bytes."""
    admin = KafkaAdminClient(bootstrap_servers=settings.brokers)
    admin.alter_configs(
        [ConfigResource(ConfigResourceType.TOPIC, settings.topic(kind), {"max.message.bytes": str(size)})]
    )
    admin.close()


def test_oversized_batches_are_split_and_each_row_reported_once(settings: Settings) -> None:
    make_topics(settings)
    limit(settings, "orders", 3000)
    told: list[str] = []
    with Sender(settings, on_delivery=lambda delivery: told.extend(delivery.ids)) as sender:
        events = [order(number) for number in range(1000)]
        for event in events:
            sender.publish(event)
    assert (sender.acknowledged, sender.failed) == (1000, 0)
    ids = sorted(event.order.order_id for event in events)
    assert sorted(told) == ids
    assert sorted(row_ids(settings)) == ids


def test_an_event_too_large_for_its_topic_is_named_and_skipped(settings: Settings) -> None:
    make_topics(settings)
    limit(settings, "users", 3000)
    with Sender(settings) as sender:
        for number, name in enumerate(("short", random.Random(1).randbytes(5000).hex(), "short")):
            sender.publish(UserEvent(timestamp=NOW, user=User(user_id=f"U_{number}", name=name)))
            assert sender.flush(30)
            if number == 1:
                topic = settings.topic("users")
                assert "U_1 (users) has 10,1" in str(sender.first_failure)
                assert f"topic {topic} takes batches of 3,000 (max.message.bytes)" in str(sender.first_failure)
                with pytest.raises(EventTooLarge, match=f"topic {topic} takes batches of 3,000") as caught:
                    sender.publish(UserEvent(timestamp=NOW, user=User(user_id="U_3", name=name)))
                assert caught.value.hint == f"raise max.message.bytes of topic {topic}"
    assert (sender.sent, sender.acknowledged, sender.failed) == (3, 2, 1)
    assert sorted(row_ids(settings, "users")) == ["U_0", "U_2"]


def test_a_topic_whose_limit_was_raised_takes_large_events_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sesacctl.broker.limits._KNOWN_SECONDS", 0.0)
    make_topics(settings)
    limit(settings, "users", 3000)
    name = random.Random(1).randbytes(5000).hex()
    with Sender(settings) as sender:
        sender.publish(UserEvent(timestamp=NOW, user=User(user_id="U_0", name=name)))
        assert sender.flush(30)
        assert (sender.acknowledged, sender.failed) == (0, 1)
        limit(settings, "users", 30_000)

        def is_taken() -> bool:
            """Each broker hears of the new limit by itself, a moment later."""
            sender.publish(UserEvent(timestamp=NOW, user=User(user_id=f"U_{sender.sent}", name=name)))
            assert sender.flush(30)
            return sender.acknowledged == 1

        wait_until(is_taken, message="it is refused still")


def test_an_event_that_fits_only_compressed_is_not_refused(settings: Settings) -> None:
    make_topics(settings)
    limit(settings, "users", 3000)
    with Sender(settings) as sender:
        sender.publish(UserEvent(timestamp=NOW, user=User(user_id="U_0", name=random.Random(1).randbytes(5000).hex())))
        assert sender.flush(30)
        sender.publish(UserEvent(timestamp=NOW, user=User(user_id="U_1", name="x" * 10_000)))
        assert sender.flush(30)
    assert (sender.acknowledged, sender.failed) == (1, 1)


def test_produce_names_the_topic_that_takes_no_event(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    fill_cache(settings)
    limit(settings, "orders", 300)
    done = sesacctl("produce", "--count", 500, "--rate", 200, "-o", "json")
    assert done.returncode == 5
    report = json.loads(done.stdout)
    assert report["failed"] + report["refused"] == 500
    assert report["refused"] > 0
    assert f"topic {settings.topic('orders')} takes batches of 300 (max.message.bytes)" in done.stderr
