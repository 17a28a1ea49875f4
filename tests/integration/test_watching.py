"""`sesacctl top` and `sesacctl metrics` beside a loop that turns."""

from __future__ import annotations

import json
import re
import signal
import sys
import urllib.request
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from psutil import CONN_LISTEN, Process

from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.pipeline.watch.observation import observe
from sesacctl.pipeline.watch.top import Top
from sesacctl.settings import Settings, load
from sesacctl.stack import ports
from tests.conftest import Cli
from tests.helpers.cache_data import fill
from tests.helpers.events import many_orders, send
from tests.helpers.listeners import listener
from tests.helpers.terminal import Terminal, on_terminal
from tests.helpers.topics import make_topics
from tests.helpers.waiting import wait_until, within


@pytest.fixture
def loop(settings: Settings) -> Settings:
    """A slice of the stack with topics, a filled cache, and 30 orders that nobody has stored."""
    fill(settings, users=20, products=20)
    make_topics(settings)
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
    assert stages["consume"].backlog == 30  # the new ones are young


def top(cli: Cli, *, columns: int = 80, lines: int = 24) -> AbstractContextManager[Terminal]:
    command = [sys.executable, "-m", "sesacctl", "top", "--every", "0.5"]
    return on_terminal(command, env=cli.environment, cwd=cli.folder, columns=columns, lines=lines)


@pytest.mark.usefixtures("loop")
def test_the_screen_fits_a_terminal_and_ends_on_ctrl_c(sesacctl: Cli) -> None:
    with top(sesacctl) as terminal:
        at = terminal.wait_for("bottleneck")
        terminal.wait_for("bottleneck", after=at)
        terminal.press("\x03")
        assert terminal.process.wait(60) == 0
        assert terminal.echoes


@pytest.mark.usefixtures("loop")
def test_keys_show_partitions_and_help_and_quit(sesacctl: Cli) -> None:
    with top(sesacctl) as terminal:
        at = terminal.wait_for("q quit  p partitions")
        assert not terminal.echoes
        terminal.press("p")
        at = terminal.wait_for("orders-8", after=at)
        terminal.press("\x1b[A")  # an arrow is no key of ours
        terminal.press("?")
        at = terminal.wait_for("this help, and back", after=at)
        terminal.press("?p")
        at = terminal.wait_for("trend", after=at)
        terminal.press("q")
        assert terminal.process.wait(60) == 0
        assert terminal.echoes
        terminal.read()
        assert "\x1b[?25h" in terminal.raw  # the cursor is back


@pytest.mark.usefixtures("loop")
def test_space_holds_the_screen_until_space(loop: Settings, sesacctl: Cli) -> None:
    with top(sesacctl, columns=40, lines=10) as terminal:
        at = terminal.wait_for("30 lag")
        terminal.press(" ")
        at = terminal.wait_for("paused", after=at)
        send(loop, "orders", many_orders(7))
        terminal.press("pp")  # it is drawn again, and still that of before
        at = terminal.wait_for("30 lag", after=at)
        assert "37 lag" not in terminal.read()
        terminal.press(" ")
        terminal.wait_for("37 lag", after=at)
        terminal.press("q")
        assert terminal.process.wait(60) == 0


@pytest.mark.usefixtures("loop")
def test_a_key_works_while_a_server_hangs(sesacctl: Cli) -> None:
    with listener() as silent:
        sesacctl.environment |= {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": str(silent.port)}
        with top(sesacctl) as terminal:
            wait_until(lambda: silent.used)
            terminal.press("q")
            with within(2.0, "the end of top"):
                assert terminal.process.wait(60) == 0


@pytest.mark.usefixtures("loop")
def test_a_low_and_narrow_screen_keeps_the_bottleneck(sesacctl: Cli) -> None:
    with top(sesacctl, columns=40, lines=10) as terminal:
        terminal.wait_for("bottleneck: consume: 30 events waiting")
        terminal.press("\x03\x03")
        terminal.process.wait(60)
        assert terminal.echoes


@pytest.mark.usefixtures("loop")
def test_without_postgresql_top_shows_what_kafka_tells(sesacctl: Cli) -> None:
    sesacctl.environment |= AWAY["PostgreSQL"]
    done = sesacctl("top", "--once", "--every", "0.1", "-o", "json")
    screen = json.loads(done.stdout)
    stages = {stage["key"]: stage for stage in screen["stages"]}
    assert (stages["produce"]["rate"], stages["broker"]["rate"]) == (0, 0)
    assert stages["produce"]["problem"] is stages["broker"]["problem"] is None
    assert (screen["brokers_up"], screen["brokers"], screen["dead_letters"]) == (3, 3, None)
    assert sum(line["log_end"] for line in screen["partitions"]) == 30


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
