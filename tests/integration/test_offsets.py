"""`offsets show` and `reset`, and a lag whose two sides are of one moment."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from sesacctl.events import ORDERS
from sesacctl.pipeline.audit.partitions import PartitionProgress, read_partitions
from sesacctl.pipeline.sink import offsets
from sesacctl.pipeline.watch.lag_history import file_of
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import store_all
from tests.helpers.events import add_parents, many_orders, query, send
from tests.helpers.topics import make_topics
from tests.helpers.waiting import wait_until


@pytest.fixture
def shop(settings: Settings) -> Settings:
    """Ten stored orders in partitions 0 and 1 each, a minute apart until now; nothing waits."""
    make_topics(settings)
    add_parents(settings, users=100)
    now = int(time.time() * 1000)
    for number in range(10):
        for partition in (0, 1):
            at = now - (10 - number) * 60_000
            send(settings, ORDERS, many_orders(1), partition=partition, timestamp_ms=at)
    store_all(settings)
    return settings


def next_offsets(settings: Settings) -> dict[int, int]:
    rows = query(settings, "SELECT partition, next_offset FROM sink_offsets WHERE topic = %s AND next_offset > 0",
                 settings.topic(ORDERS))  # fmt: skip
    return dict(rows)


def planned(sesacctl: Cli, *arguments: object) -> list[tuple[int, int]]:
    done = sesacctl("offsets", "reset", *arguments, "--dry-run", "-o", "json")
    assert done.returncode == 0, done.stderr
    return [(move["partition"], move["after"]) for move in json.loads(done.stdout)["items"]]


def test_without_a_yes_nothing_moves(shop: Settings, sesacctl: Cli) -> None:
    done = sesacctl("offsets", "reset", "--to", "earliest")
    assert (done.returncode, "dry run: nothing was moved" in done.stderr) == (0, True)
    assert "the same command with --yes" in done.stderr
    assert next_offsets(shop) == {0: 10, 1: 10}
    done = sesacctl("offsets", "reset", "--to", "earliest", "--dry-run", "--yes")
    assert (done.returncode, next_offsets(shop)) == (0, {0: 10, 1: 10})
    assert sesacctl("offsets", "reset", "--to", "4", "--yes", "--topics", "orders").returncode == 0
    assert next_offsets(shop) == {0: 4, 1: 4}


@pytest.mark.parametrize(("answer", "code", "moved"), [(b"n\n", 2, False), (b"y\n", 0, True)])
def test_on_a_terminal_it_asks(shop: Settings, sesacctl: Cli, answer: bytes, code: int, moved: bool) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "sesacctl", "offsets", "reset", "--to", "earliest"]
    process = subprocess.Popen(
        command, env=sesacctl.environment, cwd=sesacctl.folder, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs
    )
    os.close(theirs)
    os.write(ours, answer)
    process.communicate(timeout=60)
    os.close(ours)
    assert (process.returncode, next_offsets(shop) == {}) == (code, moved)


def test_times_partitions_and_offsets_choose(shop: Settings, sesacctl: Cli) -> None:
    assert planned(sesacctl, "--to", "-3m", "--topics", "orders", "-p", 1) == [(1, 8)]
    assert planned(sesacctl, "--to=-1h", "--topics", "orders") == [(0, 0), (1, 0)]
    assert planned(sesacctl, "--to", "yesterday 20:00", "--partition", 0, "--partition", 1) == [(0, 0), (1, 0)]
    assert planned(sesacctl, "--to", "3", "-p", 0) == [(0, 3)]
    assert planned(sesacctl, "--to", "latest") == []
    assert next_offsets(shop) == {0: 10, 1: 10}


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--to", "earliest", "-p", "5"), 5, "users has no partition 5: it has 0 to 2"),
        (("--to", "earliest", "-p", "9", "--topics", "orders"), 5, "orders has no partition 9: it has 0 to 8"),
        (("--to", "2999-01-01"), 2, "is still to come"),
        (("--to", "-1"), 2, "is not earliest, latest, an offset"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_what_is_not_there_is_named(sesacctl: Cli, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = sesacctl("offsets", "reset", *arguments, "--yes")
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr


def test_show_has_both_sides_and_the_lag(shop: Settings, sesacctl: Cli) -> None:
    send(shop, ORDERS, many_orders(3), partition=1)
    done = sesacctl("offsets", "show", "--topics", "orders", "-p", 1, "-o", "json")
    [part] = json.loads(done.stdout)["items"]
    assert (part["log_start"], part["first"], part["next"], part["log_end"], part["lag"]) == (0, 0, 10, 13, 3)
    assert part["mark"]["last_offset"] == 9
    for width in ("40", "120"):
        shown = sesacctl("offsets", "show", "--topics", "orders", COLUMNS=width).stdout
        assert f"{shop.topic(ORDERS)}-1" in "".join(shown.split())
    report = json.loads(sesacctl("lag", "--window", "0.1", "-o", "json").stdout)
    assert [each["lag"] for each in report["partitions"] if each["lag"]] == [3]


def between(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], Any]) -> None:
    """Have something happen after Kafka has told its ends, and before PostgreSQL tells its offsets."""
    read = offsets.read_partitions

    def read_after(*arguments: Any) -> Any:
        monkeypatch.setattr(offsets, "read_partitions", read)
        happens()
        return read(*arguments)

    monkeypatch.setattr(offsets, "read_partitions", read_after)


def first(settings: Settings) -> PartitionProgress:
    return next(part for part in read_partitions(settings) if part.kind == ORDERS and part.partition == 0)


def test_what_comes_between_two_reads_is_no_lag(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    between(monkeypatch, lambda: send(shop, ORDERS, many_orders(5), partition=0))
    assert (first(shop).lag, first(shop).lag) == (0, 5)


def test_what_is_stored_between_two_reads_is_no_cut(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def happens() -> None:
        send(shop, ORDERS, many_orders(5), partition=0)
        store_all(shop)
        send(shop, ORDERS, many_orders(5), partition=0)

    between(monkeypatch, happens)
    part = first(shop)
    assert (part.next, part.log_end, part.log_stable_end) == (15, 15, 15)
    assert (part.lag, part.cut, part.held) == (0, 0, 0)
    assert first(shop).lag == 5


def test_the_history_is_kept_by_consume_and_needs_no_server(shop: Settings, sesacctl: Cli) -> None:
    nothing = sesacctl("lag", "--history", "30m")
    assert (nothing.returncode, "no samples of group" in nothing.stderr) == (5, True)
    send(shop, ORDERS, many_orders(4), partition=0)
    process = sesacctl.start("consume", "-n", "1")
    here = Settings(**shop.model_dump() | {"sesac_home": sesacctl.environment["SESAC_HOME"]})
    wait_until(lambda: file_of(here).exists() and file_of(here).read_text().strip(), message="it takes a sample")
    process.terminate()
    process.communicate(timeout=60)
    sesacctl.environment |= {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "POSTGRES_HOST": "127.0.0.1"}
    done = sesacctl("lag", "--history", "30m", "-o", "json", POSTGRES_PORT="1")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["group"], found["samples"][0]["lag"]["users"]) == (shop.kafka_group, 0)
    assert found["gaps"], "it has not run for half an hour"
    for width in ("40", "80"):
        shown = " ".join(sesacctl("lag", "--history", "30m", COLUMNS=width).stdout.split())
        assert "no sample " in shown
        assert "orders" in shown
    assert sesacctl("lag", "--history", "30m", "--watch", "5").returncode == 2
