"""The promise under fire: a random instance is killed every two seconds for a minute, at full rate."""

from __future__ import annotations

import os
import random
import signal
import threading
import time

import pytest

from sesacctl.broker import topics
from sesacctl.events import ORDERS
from sesacctl.pipeline.audit.report import audit
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import instances, stored
from tests.helpers.events import add_parents, many_orders, query, send
from tests.helpers.waiting import wait_until

ORDERS_SENT = 100_000
STORM_SECONDS = 60.0


@pytest.mark.parametrize("primary_key", [True, False], ids=["with the primary key", "without it"])
def test_killed_every_two_seconds_for_a_minute(settings: Settings, sesacctl: Cli, primary_key: bool) -> None:
    topics.init(settings)
    add_parents(settings, users=1_000)
    if not primary_key:
        query(settings, "ALTER TABLE orders DROP CONSTRAINT orders_pkey")
    process = sesacctl.start("consume", "--instances", 9)
    sender = threading.Thread(target=_send, args=(settings,))
    sender.start()
    wait_until(lambda: stored(settings) > 0, message="the first orders are stored")
    kills, dice, deadline = 0, random.Random(20261122), time.monotonic() + STORM_SECONDS
    while time.monotonic() < deadline:
        alive = instances(process.pid)
        if alive:
            os.kill(dice.choice(alive), signal.SIGKILL)
            kills += 1
        threading.Event().wait(2.0)
    sender.join()
    wait_until(lambda: stored(settings) >= ORDERS_SENT, timeout=120, message="everything is stored")
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=25)
    assert process.returncode == 0, errors
    assert kills >= 20
    result = audit(settings, deep=True)
    assert (result.missing, result.duplicated, result.lag, result.counts.duplicates) == (0, 0, 0, 0)
    assert result.rows["orders"] == result.counts.stored == ORDERS_SENT


def _send(settings: Settings) -> None:
    """The orders, spread over the storm."""
    for _ in range(20):
        send(settings, ORDERS, many_orders(ORDERS_SENT // 20, users=1_000))
        threading.Event().wait(2.0)
