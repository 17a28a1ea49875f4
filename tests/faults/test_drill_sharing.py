"""Drills that harm nobody else on the shared servers: with the user's consumers, frozen ones, and signals.

Those that kill servers are in test_drills.py.
"""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from sesacctl.broker import groups
from sesacctl.drill import instances
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.events import query
from tests.helpers.servers import RunningStack
from tests.helpers.waiting import wait_until

SECONDS = 600.0
USERS_INSTANCES = 2
# Programs rely on them: see test_json_keys.
KEYS = {
    *("kind", "seed", "ok", "fault", "recovered_seconds", "waiting", "counts", "started", "stages", "timeline"),
    *("audit", "schema_version"),
}


@pytest.fixture
def drill(sesacctl: Cli, stack: RunningStack) -> Cli:
    """The command line with this test's part of the stack, in which few rows are, and the home of its servers."""
    sesacctl.environment["SESAC_HOME"] = str(stack.home)
    for command in ("db init", "db seed --users 300 --products 200", "topics init", "cache refresh"):
        done = sesacctl(*command.split())
        assert done.returncode == 0, done.stderr
    return sesacctl


@pytest.fixture
def consumers(drill: Cli, settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """The user's own, in another terminal."""
    process = drill.start("consume", "-n", USERS_INSTANCES)
    wait_until(lambda: len(groups.places(settings)) == USERS_INSTANCES)
    yield process
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


def stages(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["stage"]: each for each in result["stages"]}


def test_poison_beside_the_users_consumers_ends_clean(drill: Cli, consumers: subprocess.Popen[str]) -> None:
    refused = drill("drill", "supervisor", timeout=SECONDS)
    assert refused.returncode == 2
    assert "consumers run already" in refused.stderr
    assert "then sesacctl drill supervisor" in refused.stderr
    done = drill("drill", "poison", "--seed", "7", "-o", "json", timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["ok"], result["kind"], result["seed"]) == (True, "poison", 7)
    assert [command.split()[1] for command in result["started"]] == ["cache", "produce"], "consumers are the user's"
    assert result.keys() == KEYS
    assert result["stages"][0].keys() == {"stage", "works", "outages", "seconds", "back_after"}
    assert result["timeline"][0].keys() == {"seconds", "stage", "text"}
    counts = result["counts"]
    assert counts["dead"] > 50
    assert counts["duplicates"] > 0
    assert counts["stored"] > 0
    assert result["audit"]["ok"]
    ledger = result["audit"]["ledger"]
    assert ledger["acknowledged"] == ledger["stored"] > 0
    assert not stages(result)["consumers"]["outages"]
    assert consumers.poll() is None, "what the user started is the user's to end"
    assert "dlq list" in done.stderr


def test_frozen_instances_store_nothing_twice(drill: Cli, settings: Settings) -> None:
    """Without the primary key, which would hide it."""
    query(settings, "ALTER TABLE orders DROP CONSTRAINT orders_pkey")
    done = drill("drill", "instance", "--seed", "1", "-o", "jsonl", timeout=SECONDS)
    assert done.returncode == 0, done.stdout + done.stderr
    *timeline, result = map(json.loads, done.stdout.splitlines())
    assert [moment["text"] for moment in timeline] == [moment["text"] for moment in result["timeline"]]
    assert "are frozen (SIGSTOP)" in timeline[0]["text"]
    assert any("partitions stand still" in moment["text"] for moment in timeline)
    assert stages(result)["rows"]["back_after"] > 5, "others take over when the session is over"
    assert stages(result)["rows"]["works"]
    assert stages(result)["consumers"]["outages"]
    assert (result["audit"]["duplicated"], result["audit"]["missing"], result["audit"]["lag"]) == (0, 0, 0)
    assert not left_over(settings)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda how: how.name)
def test_an_end_wakes_the_users_instances(
    drill: Cli, consumers: subprocess.Popen[str], settings: Settings, how: signal.Signals
) -> None:
    process = drill.start("drill", "instance", "-o", "jsonl")
    assert process.stdout is not None
    first = json.loads(process.stdout.readline())
    assert "1 of 2 instances are frozen" in first["text"]
    wait_until(lambda: stopped(consumers.pid), message="none is frozen")
    process.send_signal(how)
    process.send_signal(how)  # impatience leaves nothing half done
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "interrupted: the fault is healed" in said
    assert not stopped(consumers.pid)
    assert [pid for pid in left_over(settings) if pid not in family(consumers.pid)] == []
    assert consumers.poll() is None


def stopped(supervisor: int) -> list[psutil.Process]:
    return [each for each in instances.of_supervisor(supervisor) if each.status() == psutil.STATUS_STOPPED]


def family(pid: int) -> set[int]:
    process = psutil.Process(pid)
    return {pid, *(child.pid for child in process.children(recursive=True))}


def left_over(settings: Settings) -> list[int]:
    """Processes that have this test's database in their environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.status() != psutil.STATUS_ZOMBIE
                and process.environ().get("POSTGRES_DB") == settings.postgres_db
            ):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
