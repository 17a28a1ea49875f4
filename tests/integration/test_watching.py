"""`sesacctl top` and `sesacctl metrics` beside a loop that turns."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from psutil import CONN_LISTEN, Process

from sesacctl.broker import topics
from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.pipeline.watch.observation import observe
from sesacctl.pipeline.watch.top import Top
from sesacctl.settings import Settings, load
from sesacctl.stack import ports
from tests.conftest import Cli
from tests.helpers.cache_data import fill
from tests.helpers.events import many_orders, send
from tests.helpers.waiting import wait_until


@pytest.fixture
def loop(settings: Settings) -> Settings:
    """A slice of the stack with topics, a filled cache, and 30 orders that nobody has stored."""
    fill(settings, users=20, products=20)
    topics.init(settings)
    with Refresher(settings) as refresher:
        refresher.run_once()
    send(settings, "orders", many_orders(30))
    return settings


@pytest.mark.usefixtures("loop")
def test_once_gives_the_screen_as_data(sesacctl: Cli) -> None:
    done = sesacctl("top", "--once", "--every", "0.2", "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    screen = json.loads(done.stdout)
    stages = {stage["key"]: stage for stage in screen["stages"]}
    assert list(stages) == ["source", "refresh", "cache", "produce", "broker", "consume", "sink"]
    assert stages["consume"]["backlog"] == 30
    assert stages["consume"]["rate"] == 0
    assert stages["cache"]["age"] >= 0
    assert stages["cache"]["backlog"] == 0
    assert stages["broker"]["age"] is not None
    assert screen["bottleneck"] == "consume"
    assert "30 events waiting, none is stored" in screen["reason"]


@pytest.mark.usefixtures("loop")
def test_once_with_kafka_away_says_so_and_shows_the_rest(sesacctl: Cli) -> None:
    nowhere = "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3"
    done = sesacctl("top", "--once", "-o", "json", KAFKA_BOOTSTRAP_SERVERS=nowhere)
    assert (done.returncode, done.stderr) == (0, "")
    screen = json.loads(done.stdout)
    assert nowhere.replace(",", ", ") in screen["reason"]
    assert next(stage for stage in screen["stages"] if stage["key"] == "cache")["backlog"] == 0


def test_new_events_are_a_rate(loop: Settings) -> None:
    looks = Top(loop)
    looks.run_once()
    send(loop, "orders", many_orders(10))
    stages = {stage.key: stage for stage in looks.run_once().stages}
    assert stages["produce"].rate
    assert stages["broker"].rate
    assert stages["consume"].backlog == 40


@pytest.mark.usefixtures("loop")
def test_the_screen_fits_a_terminal_and_ends_on_ctrl_c(sesacctl: Cli) -> None:
    ours, theirs = pty.openpty()
    environment = {**sesacctl.environment, "COLUMNS": "80", "LINES": "24", "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-m", "sesacctl", "top", "--every", "1"],
        env=environment,
        cwd=sesacctl.folder,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    shown = b""
    while shown.count(b"bottleneck") < 2:
        shown += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    os.close(ours)
    assert b"\x1b[" in shown  # in place: the cursor moves


def test_a_lost_server_is_shown_and_the_screen_continues(loop: Settings) -> None:
    looks = Top(load(**loop.model_dump(exclude_none=True) | {"redis_port": 1}))
    screen = looks.run_once()
    problems = {stage.key: stage.problem for stage in screen.stages if stage.problem}
    assert set(problems) == {"refresh", "cache"}
    assert screen.bottleneck == "refresh"


AWAY = {
    "PostgreSQL": {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": "1"},
    "Redis": {"REDIS_PORT": "1"},
}


@pytest.mark.parametrize("server", AWAY)
@pytest.mark.usefixtures("loop")
def test_top_names_the_server_that_is_away(server: str, sesacctl: Cli) -> None:
    sesacctl.environment |= AWAY[server]
    done = sesacctl("top", "--once", "--every", "0.1", "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    screen = json.loads(done.stdout)
    stages = {stage["key"]: stage for stage in screen["stages"]}
    assert screen["bottleneck"] == {"PostgreSQL": "source", "Redis": "refresh"}[server]
    assert f"{server} at 127.0.0.1:1 cannot be reached" in screen["reason"]
    assert (stages["cache"]["rate"] is None) is (server == "Redis")
    assert stages["broker"]["age"] is not None
    assert "cannot be reached" in sesacctl("top", "--once", "--every", "0.1", COLUMNS="80").stdout


@pytest.mark.parametrize("server", AWAY)
@pytest.mark.usefixtures("loop")
def test_metrics_show_the_missing_server_and_keep_the_others(server: str, sesacctl: Cli) -> None:
    sesacctl.environment |= AWAY[server]
    done = sesacctl("metrics", "--once")
    assert (done.returncode, done.stderr) == (0, "")
    up = dict(re.findall(r'^sesacctl_up{server="(\w+)"} ([\d.]+)$', done.stdout, re.MULTILINE))
    assert up == dict.fromkeys(("postgresql", "redis", "kafka"), "1.0") | {server.lower(): "0.0"}
    assert f'sesacctl_scrape_errors_total{{server="{server.lower()}"}} 1.0' in done.stdout
    assert ("sesacctl_rows{" in done.stdout) is (server != "PostgreSQL")
    assert ("sesacctl_cache_rows{" in done.stdout) is (server != "Redis")


def test_metrics_are_served_until_the_end(loop: Settings, sesacctl: Cli) -> None:
    [port] = ports.choose(1)
    process = sesacctl.start("metrics", "--port", str(port))
    assert process.stderr is not None
    assert process.stderr.readline() == f"metrics on http://127.0.0.1:{port}/metrics\n"
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        text = answer.read().decode()
    lag = [line for line in text.splitlines() if line.startswith("kafka_consumergroup_lag{")]
    assert len(lag) == 15
    assert sum(float(line.rpartition(" ")[2]) for line in lag) == 30
    assert f'consumergroup="{loop.kafka_group}"' in lag[0]
    assert 'sesacctl_cache_rows{table="users"} 20.0' in text
    taken = sesacctl("metrics", "--port", port)
    assert (taken.returncode, "Address already in use" in taken.stderr) == (3, True)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


@pytest.mark.usefixtures("loop")
def test_the_loops_serve_their_own(sesacctl: Cli) -> None:
    refresh, consume, produce = ports.choose(3)
    started = {
        refresh: sesacctl.start("cache", "refresh", "--loop", "30", "--metrics-port", refresh),
        consume: sesacctl.start("consume", "-n", "2", "--metrics-port", consume, SESAC_MEMBER="shop"),
        produce: sesacctl.start("produce", "--rate", "20", "--metrics-port", produce),
    }

    def served(port: int, name: str) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
                return name in answer.read().decode()
        except OSError:
            return False

    wait_until(lambda: served(refresh, 'sesacctl_refresh_rows{table="users",turn="aged"} 20.0'))
    wait_until(lambda: served(consume, 'sesacctl_member_up{member="shop-1"} 1.0'))
    wait_until(lambda: served(produce, "sesacctl_events_acknowledged_total"))
    for port, process in started.items():
        open_to = [each.laddr for each in Process(process.pid).net_connections("tcp") if each.status == CONN_LISTEN]
        assert open_to == [("127.0.0.1", port)]


def test_a_look_leaves_no_connection_behind(loop: Settings) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        observe(loop, each_broker=True)
    wait_until(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before + 3)
