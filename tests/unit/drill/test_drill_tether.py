"""A drill's own commands end when the drill is gone, in whatever way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sesacctl.drill.children import Child
from sesacctl.heartbeat import read_pulses
from tests.helpers.servers import NOWHERE, clean_environment
from tests.helpers.waiting import wait_until

# Waits for servers that are not there, as long as it is left to.
COMMAND = ("cache", "refresh", "--loop", "3", "--wait", "--timeout", "10m")


def test_a_command_ends_in_order_with_who_started_it(tmp_path: Path) -> None:
    environment = clean_environment(**NOWHERE, SESAC_HOME=str(tmp_path))
    process = subprocess.Popen(
        [sys.executable, "-m", "sesacctl.drill.tether", *COMMAND],
        env=environment, cwd=tmp_path, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        wait_until(lambda: read_pulses(tmp_path))
        assert process.poll() is None
        assert process.stdin is not None
        process.stdin.close()  # as the system does it when the other process is killed
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()


def test_a_child_runs_until_it_is_ended(tmp_path: Path) -> None:
    environment = clean_environment(**NOWHERE, SESAC_HOME=str(tmp_path))
    child = Child("refresher", COMMAND, environment, tmp_path, tethered=True)
    assert not child.has_descendants()
    child.start()
    try:
        wait_until(lambda: child.errors.exists() and "waiting" in child.errors.read_text())
        assert child.has_descendants()
        assert child.end() == 0
        assert not child.has_descendants()
    finally:
        child.kill()
