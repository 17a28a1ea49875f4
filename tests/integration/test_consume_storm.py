"""Instances that are killed under load, as tests/faults does it for a minute: nothing is lost, nothing twice."""

from __future__ import annotations

import os
import random
import signal
from contextlib import suppress
from functools import partial

import pytest

from sesacctl.broker import topics
from sesacctl.pipeline.audit.report import audit
from sesacctl.settings import Settings
from tests.helpers.consumers import consuming, has_stored, sending, stored
from tests.helpers.events import add_parents, many_orders, query
from tests.helpers.waiting import wait_until

SENT = 10_000


@pytest.mark.parametrize("primary_key", [True, False], ids=["with the primary key", "without it"])
def test_three_killed_while_ten_thousand_orders_come(settings: Settings, primary_key: bool) -> None:
    topics.init(settings)
    add_parents(settings, users=100)
    if not primary_key:
        query(settings, "ALTER TABLE orders DROP CONSTRAINT orders_pkey")
    orders, dice = many_orders(SENT), random.Random(20261122)
    with consuming(settings, instances=3) as reports:
        sender = sending(settings, orders, parts=10)
        for reached in (1, 3_000, 6_000):
            wait_until(partial(has_stored, settings, reached), message=f"{reached} are stored")
            alive = wait_until(lambda: [line.pid for line in reports[0].instances if line.pid] if reports else [])
            with suppress(ProcessLookupError):
                os.kill(dice.choice(alive), signal.SIGKILL)
        sender.join()
        wait_until(lambda: stored(settings) >= SENT, message="everything is stored")
        wait_until(lambda: reports[0].restarts > 0)
    result = audit(settings, deep=True)
    assert (result.missing, result.duplicated, result.lag, result.counts.duplicates) == (0, 0, 0, 0)
    assert result.rows["orders"] == result.counts.stored == SENT
