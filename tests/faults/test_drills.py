"""Every kind of drill on a stack of its own, from its fault to a clean audit; and what stays behind if it is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from sesacctl.drill.kinds import DrillKind
from tests.helpers.servers import RunningStack, clean_environment, run_sesacctl
from tests.helpers.waiting import wait_until

SECONDS = 600.0
ENDS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL]
# The stage that each kind stops, which has to be seen; floods and poison stop none.
STOPS = {
    DrillKind.INSTANCE: "rows",
    DrillKind.SUPERVISOR: "consumers",
    DrillKind.BROKER: "brokers",
    DrillKind.POSTGRES: "database",
    DrillKind.REDIS: "cache",
}


def environment(stack: RunningStack) -> dict[str, str]:
    return clean_environment(SESAC_HOME=str(stack.home), DRILL_OF=str(stack.home))


def own_processes(stack: RunningStack) -> list[int]:
    """Commands of a drill that still run: servers have an environment without what is not for them."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.environ().get("DRILL_OF") == str(stack.home):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


@pytest.mark.parametrize("kind", DrillKind)
def test_a_drill_ends_clean(private_stack: RunningStack, kind: DrillKind) -> None:
    done = run_sesacctl(
        "drill", kind, "--seed", "3", "-o", "json",
        env=environment(private_stack), cwd=private_stack.home.parent, timeout=SECONDS,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    print(done.stderr, json.dumps(result["stages"]))
    assert result["ok"]
    assert len(result["started"]) == 3
    assert result["recovered_seconds"] > 0
    ledger = result["audit"]["ledger"]
    assert ledger["acknowledged"] == ledger["stored"]
    assert (ledger["missing"], ledger["doubled"], result["audit"]["missing"]) == (0, 0, 0)
    stages = {stage["stage"]: stage for stage in result["stages"]}
    assert all(stage["works"] for stage in stages.values())
    if kind in STOPS:
        assert stages[STOPS[kind]]["outages"]
        assert 0 < stages[STOPS[kind]]["back_after"] <= result["recovered_seconds"] + 1
    if kind is DrillKind.POISON:
        assert result["counts"]["dead"] > 50
    if kind is DrillKind.FLOOD:
        assert result["counts"]["stored"] >= 30_000
        assert result["waiting"] > 0
    assert own_processes(private_stack) == []
    assert all(private_stack.pid(server) for server in ("postgres", "valkey", "kafka-1", "kafka-2", "kafka-3"))


@pytest.mark.parametrize("how", ENDS, ids=lambda how: how.name)
def test_a_drill_that_is_ended_leaves_nothing_behind(
    private_stack: RunningStack, tmp_path: Path, how: signal.Signals
) -> None:
    """A killed one cannot start the server again; its commands end without it all the same."""
    process = subprocess.Popen(
        [sys.executable, "-m", "sesacctl", "drill", "broker", "-o", "jsonl"],
        env=environment(private_stack), cwd=private_stack.home.parent, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=(tmp_path / "err").open("w"), text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        assert "is killed (SIGKILL)" in first["text"]
        killed = first["text"].split()[0]
        assert len(own_processes(private_stack)) > 3
        os.kill(process.pid, how)
        assert process.wait(120) == (130 if how is not signal.SIGKILL else -signal.SIGKILL)
    finally:
        process.kill()
        process.communicate()
    wait_until(lambda: own_processes(private_stack) == [], timeout=60.0 if how is signal.SIGKILL else 0.0)
    if how is signal.SIGKILL:
        private_stack.up()
    assert private_stack.pid(killed)
