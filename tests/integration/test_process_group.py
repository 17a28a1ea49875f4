"""Signals to the whole process group of `consume`, as a terminal and a service manager send them."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from sesacctl.pipeline.supervise.supervisor import DRAIN_SECONDS
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import check, instances, sending, stored
from tests.helpers.events import add_parents, many_orders, query
from tests.helpers.topics import make_topics
from tests.helpers.waiting import BUSY_SECONDS, wait_until

OWN_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "sesacctl", *sys.argv[1:]])
"""


@pytest.fixture
def ready(settings: Settings) -> Settings:
    """Topics, users and a product; no primary key that would hide an order stored twice."""
    make_topics(settings)
    add_parents(settings, users=100)
    query(settings, "ALTER TABLE orders DROP CONSTRAINT orders_pkey")
    return settings


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_to_the_group_drains(ready: Settings, sesacctl: Cli, number: signal.Signals) -> None:
    sesacctl.own_session = True
    process = sesacctl.start("consume", "-n", 2, "-o", "jsonl")
    sender = sending(ready, many_orders(3_000), parts=10)
    wait_until(lambda: stored(ready) > 0, message="the first orders are stored")
    pids = instances(process.pid)
    os.killpg(process.pid, number)
    out, errors = process.communicate(timeout=DRAIN_SECONDS + BUSY_SECONDS)
    sender.join()
    assert process.returncode == 0, errors
    assert not any(psutil.pid_exists(pid) for pid in pids), "the supervisor ends last"
    assert "died" not in errors
    assert "did not drain" not in errors
    report = json.loads(out.splitlines()[-1])
    assert report["restarts"] == 0
    assert report["totals"]["stored"] == stored(ready), "what was stored is reported"
    assert sesacctl("consume", "-n", 2, "--until-empty").returncode == 0
    check(ready, 3_000)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_an_instance_leaves_the_terminals_signals_alone(ready: Settings, sesacctl: Cli, number: signal.Signals) -> None:
    """They come to each process of the group: it is the supervisor that has its instances drain."""
    process = sesacctl.start("consume", "-n", 1, "-o", "jsonl")
    sending(ready, many_orders(10), parts=1).join()
    wait_until(lambda: stored(ready) == 10, message="the first orders are stored")
    pids = instances(process.pid)
    for pid in pids:
        os.kill(pid, number)
    sending(ready, many_orders(10), parts=1).join()
    wait_until(lambda: stored(ready) == 20, message="it stores no more")
    assert instances(process.pid) == pids
    process.terminate()
    out, errors = process.communicate(timeout=DRAIN_SECONDS + BUSY_SECONDS)
    assert (process.returncode, json.loads(out.splitlines()[-1])["restarts"]) == (0, 0), errors


def test_closing_the_terminal_drains(ready: Settings, sesacctl: Cli, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", OWN_TERMINAL, "consume", "-n", "2"],
        env={**sesacctl.environment, "TERM": "xterm"}, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    sender = sending(ready, many_orders(1_000), parts=4)
    wait_until(lambda: stored(ready) > 0, message="the first orders are stored")
    pids = instances(process.pid)
    os.close(ours)
    process.wait(DRAIN_SECONDS + BUSY_SECONDS)
    sender.join()
    assert process.returncode in {0, 1, 5}, "0, but for a line that is written before the signal is heard"
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert sesacctl("consume", "-n", 2, "--until-empty").returncode == 0
    check(ready, 1_000)
