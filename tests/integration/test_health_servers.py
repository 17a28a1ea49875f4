"""`sesacctl health` against servers that run, are stopped, are away, or are something else."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sesacctl.broker import topics
from sesacctl.cache.client import connect
from sesacctl.cli import app
from sesacctl.errors import UsageError
from sesacctl.heartbeat import Heartbeat
from sesacctl.pipeline.audit.partitions import read_partitions
from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.pipeline.watch import health as health_module
from sesacctl.pipeline.watch.checks import Check, Verdict
from sesacctl.pipeline.watch.health import SERVERS, health, lag_is_old, wait_healthy
from sesacctl.pipeline.watch.probes import read_redis
from sesacctl.pipeline.watch.top import Top
from sesacctl.settings import Settings, load
from tests.conftest import Cli
from tests.helpers.cache_data import fill
from tests.helpers.events import many_orders, send
from tests.helpers.listeners import listener
from tests.helpers.servers import PrivateServer, at_port
from tests.helpers.waiting import within


@pytest.fixture
def loop(settings: Settings) -> Settings:
    """A slice of the stack with topics and a filled cache."""
    fill(settings, users=10, products=10)
    topics.init(settings)
    with Refresher(settings) as refresher:
        refresher.run_once()
    return settings


def seen(settings: Settings, *, only_servers: bool = False) -> dict[str, Check]:
    """The checks by name, within the bound."""
    with within(10):
        found = health(settings, only_servers=only_servers)
    return {each.name: each for each in found.checks}


def down(checks: dict[str, Check]) -> list[str]:
    return [name for name, each in checks.items() if each.verdict is Verdict.DOWN]


@pytest.mark.usefixtures("loop")
def test_a_loop_that_is_ready_and_has_nothing_to_do_is_healthy(sesacctl: Cli) -> None:
    done = sesacctl("health", "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    checks = {each["name"]: each for each in json.loads(done.stdout)["checks"]}
    assert {each["verdict"] for each in checks.values()} == {"ok"}
    assert checks["Kafka"]["evidence"] == "3 of 3 brokers, all 15 partitions in sync"
    assert "10 users, 10 products" in checks["cache"]["evidence"]


def test_missing_topics_and_data_are_named_with_a_command(settings: Settings, sesacctl: Cli) -> None:
    done = sesacctl("health", COLUMNS="80")
    assert done.returncode == 5
    assert "unhealthy: cache, Kafka\nnext:  sesacctl cache refresh" in done.stderr
    assert seen(settings)["Kafka"].next == "sesacctl topics init"
    assert seen(changed(settings, postgres_db="template1"))["PostgreSQL"].next == "sesacctl db init"
    missing = seen(changed(settings, postgres_db="주문"))["PostgreSQL"]
    assert (missing.verdict, missing.next) == (Verdict.UNHEALTHY, "sesacctl db init")


def changed(settings: Settings, **values: object) -> Settings:
    return load(**settings.model_dump(exclude_none=True) | values)


def test_events_without_consumers_are_unhealthy(loop: Settings) -> None:
    send(loop, "orders", many_orders(20))
    consumers = seen(loop)["consumers"]
    assert (consumers.verdict, consumers.evidence) == (Verdict.UNHEALTHY, "0 members, lag 20: nobody stores it")
    assert (consumers.next or "").startswith("sesacctl consume")
    ready = seen(loop, only_servers=True)
    assert {name: each.verdict for name, each in ready.items()} == dict.fromkeys(SERVERS, Verdict.OK)


def test_how_long_events_wait_is_by_their_own_times(loop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    send(loop, "orders", many_orders(20))
    partitions = read_partitions(loop)
    assert not lag_is_old(loop, partitions)
    monkeypatch.setattr(health_module, "STALLED_SECONDS", -60.0)  # as if a minute had passed since
    assert lag_is_old(loop, partitions)
    assert not lag_is_old(loop, [])
    monkeypatch.setattr(health_module, "STALLED_SECONDS", 60.0)
    away = changed(loop, kafka_bootstrap_servers="127.0.0.1:1")
    assert lag_is_old(away, partitions)


def test_another_type_under_a_key_of_the_cache_is_an_empty_one(loop: Settings, sesacctl: Cli) -> None:
    with connect(loop) as redis:
        for key in ("cache:users", "cache:meta"):
            redis.delete(key)
            redis.set(key, "of another program")
        found = seen(loop)["cache"]
        assert (found.evidence, found.next) == ("no users in the cache", "sesacctl cache refresh")
        assert json.loads(sesacctl("cache", "stats", "-o", "json").stdout)["tables"][0]["cached"] == 0
        assert "no users in it" in Top(loop).run_once().reason
        assert 'sesacctl_cache_rows{table="users"} 0.0' in sesacctl("metrics", "--once").stdout


def test_redis_info_asks_for_at_most_one_section_for_redis_6(loop: Settings) -> None:
    mark, asked = uuid.uuid4().hex, []
    with connect(loop) as redis, redis.monitor() as monitor:
        read_redis(loop)
        redis.echo(mark)
        for entry in monitor.listen():
            asked.append(entry["command"].split())
            if mark in asked[-1]:
                break
    sections = [words[1:] for words in asked if words[0] == "INFO"]
    assert sections
    assert max(map(len, sections)) <= 1


def test_everything_away_is_exit_4(bare_sesacctl: Cli) -> None:
    nowhere = {"POSTGRES_HOST": "127.0.0.1", "POSTGRES_PORT": "1", "REDIS_PORT": "1"}
    bare_sesacctl.environment |= {**nowhere, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    done = bare_sesacctl("health", "-q")
    assert done.returncode == 4
    assert "error: down: PostgreSQL, Redis, Kafka\nnext:  start that server, or set POSTGRES_HOST" in done.stderr


@contextmanager
def elsewhere(what: str, stack: dict[str, str]) -> Iterator[str]:
    """A port where one of our servers is looked for in vain."""
    if what == "nothing":
        yield "1"
    elif what == "Valkey":
        yield stack["REDIS_PORT"]
    elif what == "Kafka":
        yield stack["KAFKA_BOOTSTRAP_SERVERS"].split(",")[0].rpartition(":")[2]
    else:
        with listener(b"HTTP/1.1 400 Bad Request\r\n\r\n") as made:
            yield str(made.port)


def moved(settings: Settings, server: str, port: str) -> Settings:
    """The settings with one server looked for on another port."""
    return changed(settings, **{name.lower(): value for name, value in at_port(server, port).items()})


@pytest.mark.parametrize(
    ("server", "instead"),
    [
        ("PostgreSQL", "nothing"),
        ("PostgreSQL", "Valkey"),
        ("Redis", "nothing"),
        ("Redis", "Kafka"),
        ("Redis", "HTTP"),
        ("Kafka", "nothing"),
        ("Kafka", "Valkey"),
    ],
)
def test_a_server_that_is_away_or_something_else_is_named(
    server: str, instead: str, loop: Settings, environment: dict[str, str]
) -> None:
    with elsewhere(instead, environment) as port:
        checks = seen(moved(loop, server, port))
    assert down(checks) == [server]
    assert f"127.0.0.1:{port}" in checks[server].evidence
    assert re.match("start (that server|those brokers), or set ", checks[server].next or "")


def test_a_stopped_postgresql(loop: Settings, private_postgres: PrivateServer) -> None:
    private_postgres.suspend()
    assert down(seen(private_postgres.over(loop))) == ["PostgreSQL"]


def test_a_stopped_redis(loop: Settings, private_valkey: PrivateServer) -> None:
    private_valkey.suspend()
    assert down(seen(private_valkey.over(loop))) == ["Redis"]


def test_waiting_ends_when_all_is_well(settings: Settings, sesacctl: Cli) -> None:
    waiting = sesacctl.start("health", "--ready", "--wait", "--timeout", "60s")
    assert waiting.stderr is not None
    assert waiting.stderr.readline() == "waiting for Kafka\n"
    topics.init(settings)
    assert waiting.wait(60) == 0


def test_waiting_gives_up(settings: Settings) -> None:
    said: list[str] = []
    found = wait_healthy(settings, seconds=0.5, only_servers=True, on_wait=said.append)
    assert (found.verdict, said) == (Verdict.UNHEALTHY, ["Kafka"])


# ---- --live


def live(cli: Cli, home: Path) -> tuple[int, str, float]:
    """Exit code, all output, and the processor seconds that it took."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sesacctl", "health", "--live"],
        env={**cli.environment, "SESAC_HOME": str(home)},
        cwd=cli.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    process.stdout.close()
    return process.returncode, said, usage.ru_utime + usage.ru_stime


def test_live_needs_no_server_and_little_time(bare_sesacctl: Cli, tmp_path: Path) -> None:
    code, said, _ = live(bare_sesacctl, tmp_path)
    assert code == 5
    assert "no loop runs here" in said
    with Heartbeat(tmp_path, "consume") as heartbeat:
        heartbeat.beat(60)
        runs = [live(bare_sesacctl, tmp_path) for _ in range(3)]
        assert {code for code, _, _ in runs} == {0}
        # Processor time: the wall clock of a busy machine says nothing about this command.
        assert min(seconds for _, _, seconds in runs) <= 0.2
        heartbeat.beat(1e-9)
        code, said, _ = live(bare_sesacctl, tmp_path)
        assert (code, "no heartbeat from consume" in said) == (5, True)


@pytest.mark.parametrize("arguments", [("--ready",), ("-o", "json"), ("--wait",)])
def test_live_refuses_other_options(arguments: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app.build(), ["health", "--live", *arguments])
    assert isinstance(result.exception, UsageError)


def test_a_worker_writes_heartbeats(loop: Settings, sesacctl: Cli) -> None:
    home = Path(sesacctl.environment["SESAC_HOME"])
    worker = sesacctl.start("cache", "refresh", "--loop", "30", "-o", "jsonl")
    assert worker.stdout is not None
    worker.stdout.readline()
    assert live(sesacctl, home)[0] == 0
    assert seen(changed(loop, sesac_home=home))["local workers"].evidence == "cache-refresh"
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert "local workers" not in seen(changed(loop, sesac_home=home))
