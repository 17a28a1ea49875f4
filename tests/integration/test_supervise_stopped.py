"""A supervisor that stands still: its instances go on storing, and it has every count when it goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from sesacctl.events import ORDERS
from sesacctl.pipeline.supervise.supervisor import DRAIN_SECONDS
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import check, has_stored
from tests.helpers.events import add_parents, many_orders, send
from tests.helpers.topics import make_topics
from tests.helpers.waiting import BUSY_SECONDS, wait_until

STOPPED_SECONDS = 12.0  # a report a second: several times what these pipes hold
SMALL_PIPES = """
import multiprocessing, socket, sys
from multiprocessing.context import BaseContext
from sesacctl.cli.app import main

def pipe(self, duplex=True):
    ends = multiprocessing.connection.Pipe(duplex)
    for end in ends:
        with socket.socket(fileno=end.fileno()) as kernel:
            kernel.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            kernel.detach()
    return ends

BaseContext.Pipe = pipe
sys.argv = ["sesacctl", "consume", "-n", "2", "-o", "json"]
main()
"""


@contextmanager
def standing_still(process: subprocess.Popen[str]) -> Iterator[None]:
    process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        process.send_signal(signal.SIGCONT)


def test_instances_continue_while_their_supervisor_is_stopped(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    add_parents(settings, users=100)
    process = subprocess.Popen(
        [sys.executable, "-c", SMALL_PIPES],
        env={**sesacctl.environment, "PYTHONPATH": os.pathsep.join(sys.path)},
        cwd=sesacctl.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        send(settings, ORDERS, many_orders(100))
        wait_until(lambda: has_stored(settings, 100), message="both run")
        total, deadline = 100, time.monotonic() + STOPPED_SECONDS
        with standing_still(process):
            while time.monotonic() < deadline:
                send(settings, ORDERS, many_orders(100))
                total += 100
                wait_until(partial(has_stored, settings, total), 5 + BUSY_SECONDS, "they are stored")
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=DRAIN_SECONDS + BUSY_SECONDS)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    report = json.loads(out)
    assert (report["totals"]["stored"], report["restarts"]) == (total, 0)
    check(settings, total)
