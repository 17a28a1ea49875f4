"""`topics peek` and `topics list`: messages as they lie in Kafka, looked at without consuming them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any
from uuid import uuid4

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition

from sesacctl.broker import topics
from sesacctl.broker.sender import partition_of
from sesacctl.events import ORDERS, USERS
from sesacctl.pipeline.watch import peek
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.events import message, order, send, user
from tests.helpers.topics import make_topics
from tests.helpers.waiting import wait_until

HOSTILE = b"\x1b]0;owned\x07\x9b31m \xe2\x80\xae\xd8\x9c[/red]\xff\x00\n\xc2\x9b2J"
DRIVING = ("\x1b", "\x07", "\x00", "\x9b", "\u202e", "\u061c", "\x7f")


@pytest.fixture
def shop(settings: Settings) -> Settings:
    """Orders o0 … o9 of u1 in their own partition, a second apart, and nothing else."""
    make_topics(settings)
    now = int(time.time() * 1000)
    for number in range(10):
        send(settings, ORDERS, [message(order(number))], timestamp_ms=now - (10 - number) * 1_000)
    return settings


def items(sesacctl: Cli, *arguments: object) -> list[dict[str, Any]]:
    done = sesacctl("topics", "peek", *arguments, "-o", "json")
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["items"]
    return found


def ids(found: list[dict[str, Any]]) -> list[str | None]:
    return [each["id"] for each in found]


def test_the_newest_are_shown_with_position_time_and_size(shop: Settings, sesacctl: Cli) -> None:
    found = items(sesacctl, "orders", "-n", 3)
    assert ids(found) == ["o7", "o8", "o9"]
    last = found[-1]
    assert (last["topic"], last["offset"], last["key"], last["kind"]) == (shop.topic(ORDERS), 9, "u1", "orders")
    assert (last["partition"], last["problem"], last["headers"]) == (partition_of(b"u1", 9), None, [])
    assert last["size"] == sum(len(each or b"") for each in message(order(9)))
    assert last["time"].endswith("Z")
    shown = sesacctl("topics", "peek", "orders", "-n", 1, COLUMNS="60").stdout
    assert f"{shop.topic(ORDERS)}-{last['partition']}@9" in shown
    assert f"{last['time'][:10]} {last['time'][11:19]}Z" in " ".join(shown.split())


def test_a_range_a_key_and_a_time_choose_messages(shop: Settings, sesacctl: Cli) -> None:
    place = partition_of(b"u1", 9)
    send(shop, ORDERS, [message(order(50, user_id="u2"))] * 3, partition=place)
    assert ids(items(sesacctl, "orders", "--partition", place, "--offset", 4, "-n", 2)) == ["o4", "o5"]
    assert ids(items(sesacctl, "orders", "--key", "u1", "-n", 2)) == ["o8", "o9"]
    assert ids(items(sesacctl, "orders", "--key", "u2", "--partition", place)) == ["o50"] * 3
    newest = ids(items(sesacctl, "orders", "--since", "1h", "-n", 100))
    assert newest == [f"o{number}" for number in range(10)] + ["o50"] * 3
    nothing = sesacctl("topics", "peek", "orders", "--key", "u777")
    assert (nothing.returncode, nothing.stdout.strip()) == (0, "")
    assert "no message to show" in nothing.stderr
    assert f"looked in partition {partition_of(b'u777', 9)}" in nothing.stderr


def test_windows_backwards_find_what_lies_far_back(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peek, "_FIRST_WINDOW", 2)
    send(shop, ORDERS, [message(order(n, user_id="u2")) for n in range(100, 140)], partition=partition_of(b"u1", 9))
    with peek.Peek(shop, peek.Wanted(topic=shop.topic(ORDERS), key=b"u1", count=4)) as looker:
        assert [each.id for each in looker.read()] == ["o6", "o7", "o8", "o9"]
        assert looker.complete
    monkeypatch.setattr(peek, "LOOK_SECONDS", -1.0)
    with peek.Peek(shop, peek.Wanted(topic=shop.topic(ORDERS), key=b"u1", count=4)) as looker:
        assert (looker.read(), looker.complete) == ([], False)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("orders", "--partition", 9), 5, "has no partition 9: it has 0 to 8"),
        (("orders", "--partition", 0, "--offset", 7), 5, "offset 7 is not in the log"),
        (("orders", "--offset", 7), 2, "--offset requires --partition"),
        (("orders", "--partition", 0, "--offset", 7, "--since", "1m"), 2, "--offset cannot be combined with --since"),
        (("nowhere",), 5, "topic nowhere does not exist"),
        (("no\x1bname",), 2, "cannot be the name of a topic"),
    ],
)
def test_what_is_not_there_is_named(
    shop: Settings, sesacctl: Cli, arguments: tuple[object, ...], code: int, said: str
) -> None:
    done = sesacctl("topics", "peek", *arguments)
    assert (done.returncode, done.stdout) == (code, ""), shop
    assert said in done.stderr
    assert "next:" in done.stderr


def test_an_offset_outside_of_the_log_names_what_it_holds(shop: Settings, sesacctl: Cli) -> None:
    place = partition_of(b"u1", 9)
    admin = KafkaAdminClient(bootstrap_servers=shop.brokers)
    admin.delete_records({TopicPartition(shop.topic(ORDERS), place): 5})
    admin.close()
    for offset in (3, 10):
        done = sesacctl("topics", "peek", "orders", "-p", place, "--offset", offset)
        assert done.returncode == 5
        assert f"offset {offset} is not in the log, it holds 5 to 9" in done.stderr
    assert ids(items(sesacctl, "orders", "-p", place, "-n", 100)) == ["o5", "o6", "o7", "o8", "o9"]


@pytest.mark.parametrize("output", ["table", "json", "jsonl"])
def test_hostile_bytes_cannot_drive_a_terminal(settings: Settings, sesacctl: Cli, output: str) -> None:
    make_topics(settings)
    producer = KafkaProducer(bootstrap_servers=settings.brokers)
    headers = [(HOSTILE.decode("latin-1"), HOSTILE)]
    producer.send(settings.topic(ORDERS), key=HOSTILE, value=HOSTILE, headers=headers, partition=0)
    producer.send(settings.topic(ORDERS), key=b"", value=None, partition=0).get(timeout=60)
    producer.close()
    done = sesacctl("topics", "peek", "orders", "-o", output)
    assert done.returncode == 0, done.stderr
    assert [character for character in DRIVING if character in done.stdout] == []
    if output == "table":
        assert "invalid_json" in done.stdout
        assert "tombstone" in done.stdout
        return
    lines = done.stdout.splitlines() if output == "jsonl" else [json.dumps(e) for e in json.loads(done.stdout)["items"]]
    first, tombstone = map(json.loads, lines)
    assert first["value"] == HOSTILE.decode("utf-8", "backslashreplace")
    assert (tombstone["key"], tombstone["value"], tombstone["value_base64"]) == ("", None, None)


def test_control_records_and_aborted_messages_are_not_shown(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    producer = KafkaProducer(bootstrap_servers=settings.brokers, transactional_id=f"t-{uuid4()}")
    producer.init_transactions()
    for number, end in enumerate((producer.abort_transaction, producer.commit_transaction, None)):
        producer.begin_transaction()
        key, value = message(order(number))
        producer.send(settings.topic(ORDERS), key=key, value=value, partition=0)
        producer.flush()
        if end:
            end()
    done = sesacctl("topics", "peek", "orders", "-n", 5, "-o", "json")
    assert ids(json.loads(done.stdout)["items"]) == ["o1"]
    assert "1 offset waits for the end of another producer's transaction" in done.stderr
    producer.close()


def test_a_look_joins_no_group_and_commits_nothing(shop: Settings, sesacctl: Cli) -> None:
    items(sesacctl, "orders")
    admin = KafkaAdminClient(bootstrap_servers=shop.brokers)
    assert shop.kafka_group not in {group["group_id"] for group in admin.list_groups()}
    admin.close()


def test_following_shows_what_comes_and_ends_with_code_0(shop: Settings, sesacctl: Cli) -> None:
    process = sesacctl.start("topics", "peek", "orders", "-n", "1", "--follow", "-o", "jsonl")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["id"] == "o9"
    send(shop, ORDERS, [message(order(70)), (b"u1", b"no event")])
    assert json.loads(process.stdout.readline())["id"] == "o70"
    assert json.loads(process.stdout.readline())["problem"].startswith("invalid_json: ")
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0


def sent_to(shop: Settings, partition: int) -> bool:
    """Send an order; False while the broker that is asked does not know the partition."""
    try:
        send(shop, ORDERS, [message(order(70))], partition=partition)
    except ValueError:
        return False
    return True


def test_following_shows_partitions_that_are_added(shop: Settings, sesacctl: Cli) -> None:
    process = sesacctl.start("topics", "peek", "orders", "-n", "1", "--follow", "-o", "jsonl")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["id"] == "o9"
    admin = KafkaAdminClient(bootstrap_servers=shop.brokers)
    admin.create_partitions({shop.topic(ORDERS): 11})
    admin.close()
    wait_until(lambda: sent_to(shop, 10), message="no broker knows the new partition")
    found = json.loads(process.stdout.readline())
    assert (found["id"], found["partition"], found["offset"]) == ("o70", 10, 0)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 0


def test_a_closed_pipe_ends_it_with_code_141(shop: Settings, sesacctl: Cli) -> None:
    send(shop, ORDERS, [message(order(n, category="x" * 40)) for n in range(100, 2_000)])
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "sesacctl", "topics", "peek", "orders", "-n", "2000", "-o", "jsonl"]
    process = subprocess.Popen(
        command, env=sesacctl.environment, cwd=sesacctl.folder, stdout=writing, stderr=subprocess.PIPE
    )
    os.close(writing)
    assert os.read(reading, 1) == b"{"
    os.close(reading)
    _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (141, b"")


def test_list_names_the_three_topics_first_and_what_lacks(settings: Settings, sesacctl: Cli) -> None:
    empty = sesacctl("topics", "list")
    assert (empty.returncode, f"no topic {settings.topic(ORDERS)}" in " ".join(empty.stderr.split())) == (0, True)
    topics.init(settings)
    send(settings, USERS, [message(user(n)) for n in range(4)])
    found = json.loads(sesacctl("topics", "list", "-o", "json").stdout)["items"]
    assert [each["kind"] for each in found[:3]] == ["orders", "users", "products"]
    assert [(each["partitions"], each["replicas"], each["offsets"]) for each in found[:2]] == [(9, 3, 0), (3, 3, 4)]
    assert not [each for each in found if each["topic"].startswith("__")]
    admin = KafkaAdminClient(bootstrap_servers=settings.brokers)
    name = f"{settings.topic('other')}"
    admin.create_topics({name: {"num_partitions": 2, "replication_factor": 1}})
    admin.close()
    send(settings, "other", [(b"k", b"\x1f\x8b\x08 packed")])
    [seen] = items(sesacctl, name)
    assert (seen["kind"], "gzip" in seen["problem"]) == (None, True)
