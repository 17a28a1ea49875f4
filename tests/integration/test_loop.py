"""The whole loop as a user types it, and what every command says when a server is away."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.events import query
from tests.helpers.servers import NOWHERE, RunningStack, clean_environment, run_sesacctl
from tests.helpers.waiting import assert_within


def test_the_steps_of_a_newcomer(settings: Settings, sesacctl: Cli) -> None:
    steps = [
        ("db", "init"),
        ("db", "seed"),
        ("cache", "refresh"),
        ("topics", "init"),
        ("produce", "--count", "1000", "--ledger", "l.jsonl"),
        ("consume", "--instances", "9", "--until-empty"),
        ("audit", "--ledger", "l.jsonl"),
        ("health",),
    ]
    for step in steps:
        done = sesacctl(*step)
        assert done.returncode == 0, (step, done.stderr)
        assert done.stdout.strip(), step
    assert query(settings, "SELECT count(*) FROM orders") == [(1_000,)]
    audit = json.loads(sesacctl("audit", "-o", "json").stdout)
    assert (audit["ok"], audit["missing"], audit["duplicated"], audit["lag"]) == (True, 0, 0, 0)


@pytest.fixture
def demo_home(stack: RunningStack) -> dict[str, str]:
    return clean_environment(SESAC_HOME=str(stack.home), COLUMNS="100")


def test_the_demo_accounts_for_every_order_and_prints_only_json(stack: RunningStack, demo_home: dict[str, str]) -> None:
    done = run_sesacctl("demo", "--orders", "3000", "-o", "json", env=demo_home, cwd=stack.home, timeout=150)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["orders_produced"], result["orders_stored"]) == (3_000, 3_000)
    assert (result["missing"], result["duplicated"], result["ok"]) == (0, 0, True)
    assert [sum("orders-" in name for name in share["partitions"]) for share in result["instances"]] == [1] * 9
    assert all(stack.pid(server) for server in ("postgres", "valkey", "kafka-1")), "what ran before still runs"


ONE_SHOT = [
    ("db", "init"),
    ("db", "check"),
    ("db", "seed"),
    ("cache", "refresh"),
    ("cache", "stats"),
    ("topics", "init"),
    ("topics", "describe"),
    ("produce", "--count", "1"),
    ("consume", "--until-empty"),
    ("lag",),
    ("audit",),
    ("health",),
]


@pytest.fixture(scope="module")
def without_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[tuple[str, ...], Future[Any]]]:
    """The end of each command and how long it took; several run at once, as they wait."""

    def run(command: tuple[str, ...], folder: Path) -> tuple[subprocess.CompletedProcess[str], float]:
        started = time.monotonic()
        done = run_sesacctl(*command, env=clean_environment(SESAC_HOME=str(folder / ".sesac"), **NOWHERE), cwd=folder)
        return done, time.monotonic() - started

    with ThreadPoolExecutor(4) as pool:
        yield {command: pool.submit(run, command, tmp_path_factory.mktemp("bare")) for command in ONE_SHOT}


@pytest.mark.parametrize("command", ONE_SHOT, ids=" ".join)
def test_a_command_without_servers_exits_4_and_says_what_to_set(
    without_servers: dict[tuple[str, ...], Future[Any]], command: tuple[str, ...]
) -> None:
    done, seconds = without_servers[command].result()
    assert done.returncode == 4, done.stderr
    assert "127.0.0.1:1" in done.stderr + done.stdout
    assert re.search("next:  start (that server|those brokers), or set ", done.stderr)
    assert "Traceback" not in done.stderr
    assert_within(10, seconds)


@pytest.mark.usefixtures("settings")
def test_produce_with_an_empty_cache_exits_5_and_sends_nothing(sesacctl: Cli) -> None:
    sesacctl("topics", "init")
    done = sesacctl("produce", "--count", "10")
    assert done.returncode == 5
    assert "empty" in done.stderr
    assert "sesacctl cache refresh" in done.stderr
    assert json.loads(sesacctl("lag", "-o", "json").stdout)["lag"] == 0
