"""The dashboard beside a real loop: what it shows is what the commands print, and no server holds it up."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaConnectionError

from sesacctl.broker import cluster_watch
from sesacctl.broker.kafka_python import admin_requests
from sesacctl.dashboard.server import serving
from sesacctl.events import ORDERS, USERS
from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.pipeline.watch.observer import Observer
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.browsing import ask, stream
from tests.helpers.cache_data import fill
from tests.helpers.consumers import consuming, store_all
from tests.helpers.events import add_parents, many_orders, message, order, send, user
from tests.helpers.proxy import DOWN, Proxy, unix
from tests.helpers.topics import make_topics
from tests.helpers.waiting import assert_within, wait_until, within

HOSTILE = b'{"order_id": "<img src=x onerror=alert(1)>\xe2\x80\xae'


@pytest.fixture
def loop(settings: Settings) -> Settings:
    """A slice of the stack with topics, a filled cache, and 30 stored orders."""
    fill(settings, users=20, products=20)
    make_topics(settings)
    with Refresher(settings) as refresher:
        refresher.run_once()
    add_parents(settings, users=100)
    send(settings, ORDERS, many_orders(30))
    store_all(settings)
    return settings


@pytest.fixture
def port(loop: Settings) -> Iterator[int]:
    with serving(loop, port=0) as address:
        yield address.port


def still(screen: dict[str, Any]) -> dict[str, Any]:
    """What does not change from one look to the next while nothing is produced."""
    stages = [
        {key: stage[key] for key in ("key", "title", "unit", "backlog", "backlog_unit", "problem")}
        for stage in screen["stages"]
    ]
    kept = ("schema_version", "database", "group", "bottleneck", "hosts", "brokers_up", "brokers", "members")
    lines = [{**line, "rate": None} for line in screen["partitions"]]
    return {name: screen[name] for name in kept} | {"stages": stages, "partitions": lines, "keys": sorted(screen)}


def test_its_figures_are_those_of_top(sesacctl: Cli, port: int) -> None:
    with stream(port) as browser:
        look = [browser.next() for _ in range(3)][-1]
    printed = json.loads(sesacctl("top", "--once", "--every", "0.2", "-o", "json").stdout)
    assert still(look["top"]) == still(printed)
    assert {key: stage.keys() for key, stage in enumerate(look["top"]["stages"])} == {
        key: stage.keys() for key, stage in enumerate(printed["stages"])
    }
    assert [each["id"] for each in look["brokers"]] == [1, 2, 3]
    assert all(each["up"] and each["in_sync"] == each["replicas"] for each in look["brokers"])
    assert sum(each["leads"] for each in look["brokers"]) == 15


def test_aging_is_shown_beside_its_bound(loop: Settings, port: int) -> None:
    with stream(port) as browser:
        aging = browser.until(lambda look: look["aging"])["aging"]
        users = next(each for each in aging["tables"] if each["table"] == "users")
        assert sum(users["histogram"]) == users["rows"] - users["never_cached"]
        assert users["holds"]
        with Refresher(loop) as refresher:
            refresher.run_once()
        assert browser.event("refreshed")["subject"] == str(aging["generation"] + 1)
        assert browser.until(lambda look: look["aging"]["generation"] > aging["generation"])


def test_a_killed_instance_is_seen_to_start_again(loop: Settings, port: int) -> None:
    with consuming(loop, instances=2) as reports, stream(port) as browser:
        wait_until(lambda: reports and all(line.partitions for line in reports[0].instances))
        look = browser.until(lambda look: sum(len(each["partitions"]) for each in look["instances"]) == 15)
        victim = reports[0].instances[0]
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        with within(10, "the event"):
            event = browser.event("restarted")
        assert event["subject"] == victim.member
        again = browser.until(lambda look: all(each["up"] for each in look["instances"]))
        since = {each["member"]: each["since"] for each in look["instances"]}
        later = {each["member"]: each["since"] for each in again["instances"]}
        assert later[victim.member] > since[victim.member]


def test_a_dead_letter_appears_and_is_shown_after_a_click(sesacctl: Cli, loop: Settings, port: int) -> None:
    with stream(port) as browser:
        browser.next()
        send(loop, ORDERS, [(b"u1", HOSTILE)])
        store_all(loop)
        assert browser.event("refused")["count"] == 1
        look = browser.until(lambda look: look["waiting"]["dead"])
    assert "onerror" not in json.dumps(look)  # what is in a record comes after a click alone
    [waiting] = look["waiting"]["dead"]
    assert (waiting["reason"], waiting["count"]) == ("invalid_json", 1)
    page = ask(port, "/dead-letters?reason=invalid_json&limit=5").json()
    assert (page["total"], page["by_reason"]) == (1, {"invalid_json": 1})
    [item] = page["items"]
    assert "value" not in item
    shown = ask(port, f"/dead-letters/{item['id']}")
    assert shown.json() == json.loads(sesacctl("dlq", "show", item["id"], "-o", "json").stdout)
    assert shown.headers["content-type"] == "application/json"
    missing = ask(port, "/dead-letters/999999")
    assert (missing.status, missing.json()["next"]) == (404, "sesacctl dlq list")


def test_a_parked_order_says_whom_it_waits_for(loop: Settings, port: int) -> None:
    send(loop, ORDERS, [message(order(900, user_id="u900"))])
    store_all(loop)
    page = ask(port, "/parked").json()
    assert (page["total"], page["beyond"]) == (1, 0)
    assert page["items"][0]["waits_for"] == ["user u900"]
    send(loop, USERS, [message(user(900))])
    with consuming(loop, instances=1):
        wait_until(lambda: ask(port, "/parked").json()["total"] == 0)


def test_a_trace_is_that_of_the_command(sesacctl: Cli, port: int) -> None:
    at = "orders-0@0"
    printed = json.loads(sesacctl("trace", "--at", at, "-o", "json").stdout)
    assert ask(port, f"/trace?at={at}").json() == printed
    found = ask(port, f"/trace?order_id={printed['id']}")
    assert (found.status, found.json()["verdict"]) == (200, "stored")
    assert ask(port, "/trace?at=orders-99@0").status == 400
    assert ask(port, "/trace").status == 400


def test_more_questions_than_two_at_once_wait_their_turn(port: int) -> None:
    with ThreadPoolExecutor(12) as threads:
        found = list(threads.map(lambda _: ask(port, "/trace?order_id=nobody").status, range(12)))
    assert set(found) <= {200, 429}
    assert 200 in found


def test_a_postgres_that_hangs_holds_nothing_else_up(loop: Settings) -> None:
    proxy = Proxy(unix(f"{loop.postgres_host}/.s.PGSQL.{loop.postgres_port}"))
    behind = loop.model_copy(update={"postgres_host": "127.0.0.1", "postgres_port": proxy.port})
    with serving(behind, port=0) as address, stream(address.port) as browser:
        browser.until(lambda look: look["stages"]["source"] == "ok")
        proxy.hold(DOWN)
        assert browser.event("away")["subject"] == "PostgreSQL"
        began = time.monotonic()
        looks = [browser.next() for _ in range(4)]
        took = time.monotonic() - began
        assert {look["stages"]["source"] for look in looks} == {"away"}
        assert {look["stages"]["broker"] for look in looks} == {"ok"}  # as fresh as ever
        with within(2, "the page"):
            assert ask(address.port, "/static/style.css").status == 200
        proxy.heal()
        assert browser.event("back")["subject"] == "PostgreSQL"
    assert_within(8.0, took, "four looks beside it")


def test_a_leader_that_dies_is_no_cut_log(loop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was stored just before is behind the end that it told of last."""
    observer, told = Observer(loop), admin_requests.list_offsets
    try:
        before = observer.observe().partitions
        send(loop, ORDERS, many_orders(5), partition=3)
        store_all(loop)
        dead = TopicPartition(loop.topic(ORDERS), 3)

        def ask(client: Any, led: dict[TopicPartition, int], *rest: Any) -> Any:
            found, errors = told(client, {tp: leader for tp, leader in led.items() if tp != dead}, *rest)
            return found, [*errors, KafkaConnectionError("it is dead")]

        monkeypatch.setattr(cluster_watch, "list_offsets", ask)
        seen = observer.observe()
    finally:
        observer.close()
    assert before is not None and seen.partitions is not None
    number = [(each.topic, each.partition) for each in before].index((dead.topic, dead.partition))
    was, part = before[number], seen.partitions[number]
    assert part.next == (was.next or 0) + 5
    assert (seen.cuts, part.cut) == ({}, 0)


def test_signals_end_it_at_once_with_browsers_listening(sesacctl: Cli) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        running = sesacctl.start("dashboard", "--port", "0")
        assert running.stderr is not None
        found = re.fullmatch(r"dashboard on http://127\.0\.0\.1:(\d+)/\n", running.stderr.readline())
        assert found is not None
        with stream(int(found[1])) as browser:
            browser.next()
            with within(3, "the end"):
                running.send_signal(number)
                assert running.wait(timeout=60) == 0
        assert running.stderr.read() == ""


def test_open_asks_the_browser_of_the_environment(sesacctl: Cli, tmp_path: Path) -> None:
    asked, browser = tmp_path / "asked", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {asked}.new\nmv {asked}.new {asked}\n')
    browser.chmod(0o755)
    process = sesacctl.start("dashboard", "--port", 0, "--open", BROWSER=str(browser), DISPLAY="", WAYLAND_DISPLAY="")
    wait_until(lambda: asked.exists() or process.poll() is not None, message="no browser was asked")
    assert ask(int(asked.read_text().rpartition(":")[2].strip("/\n")), "/").status == 200
    process.send_signal(signal.SIGINT)
    assert "no browser" not in process.communicate()[1]


def test_a_port_that_is_taken_is_an_error_with_a_way_out(bare_sesacctl: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = bare_sesacctl("dashboard", "--port", other.getsockname()[1])
    assert done.returncode == 3
    assert "Address already in use" in done.stderr
    assert "another --port" in done.stderr


@pytest.mark.usefixtures("loop")
def test_once_is_one_look(sesacctl: Cli) -> None:
    done = sesacctl("dashboard", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["stages"]["broker"] == "ok"


@pytest.mark.usefixtures("loop")
def test_a_recording_is_one_file_that_needs_nothing(sesacctl: Cli) -> None:
    done = sesacctl("top", "--once", "--every", "0.2", "--export", "run.html")
    assert done.returncode == 0, done.stderr
    text = (sesacctl.folder / "run.html").read_text("utf-8")
    found = re.search(r'<script type="application/json" id="recording">(.*?)</script>', text)
    assert found is not None
    recording = json.loads(found[1])
    assert len(recording["looks"]) == 3
    assert recording["looks"][-1]["top"]["bottleneck"] is None
    assert not re.search(r'(src|href)="(/|http)', text.replace('href="/plain"', ""))
    missing = sesacctl("top", "--once", "--export", "no/such/folder/run.html")
    assert missing.returncode == 3
