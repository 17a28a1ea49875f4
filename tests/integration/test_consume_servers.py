"""Consumers whose PostgreSQL or Kafka broker dies or stands still, and messages of every bad kind."""

from __future__ import annotations

import random
import threading
from typing import Any

import pytest

from sesacctl.broker import topics
from sesacctl.events import ORDERS
from sesacctl.pipeline.audit.until_empty import UntilEmpty
from sesacctl.pipeline.repair import dead_letters
from sesacctl.pipeline.repair.dead_letters import Filter
from sesacctl.pipeline.supervise.supervisor import Supervisor
from sesacctl.settings import Settings
from tests.helpers.consumers import check, consuming, stored
from tests.helpers.events import add_parents, many_orders, query, send
from tests.helpers.servers import PrivateServer
from tests.helpers.waiting import wait_until
from tests.unit.test_events import MALFORMED, ROW, envelope


@pytest.fixture
def own(settings: Settings, private_postgres: PrivateServer) -> Settings:
    """Topics on the shared brokers, and a PostgreSQL that may be killed."""
    found = private_postgres.over(settings)
    topics.init(found)
    add_parents(found, users=100)
    return found


def test_postgresql_killed_in_mid_load_is_waited_for(own: Settings, private_postgres: PrivateServer) -> None:
    with consuming(own) as reports:
        send(own, ORDERS, many_orders(500))
        wait_until(lambda: stored(own) > 0, message="the first orders are stored")
        private_postgres.kill()
        send(own, ORDERS, many_orders(500))
        wait_until(
            lambda: any(line.state == "waiting" for line in reports[0].instances), message="they wait, and say so"
        )
        private_postgres.start()
        wait_until(lambda: stored(own) == 1_000, message="everything is stored")
        assert reports[0].restarts == 0, "waiting for a server is no reason to restart"
    check(own, 1_000)


BAD: dict[str, Any] = {
    name: value for name, (value, _) in MALFORMED.items()
} | {
    "900 KB": b'{"order": "' + b"x" * 900_000,
    "markup": b"[/red][bold]{}",
    "escape codes": b"\x1b]0;title\x07\x1b[2J",
    "empty object": b"{}",
}  # fmt: skip


def test_bad_messages_of_every_kind_among_good_ones(settings: Settings) -> None:
    topics.init(settings)
    add_parents(settings, users=100)
    good = [*many_orders(100 * len(BAD)), (b"u1", envelope(ROW + ',"colour":"red"'))]
    wrong_keys = [(b"u2", envelope()), (None, envelope(ROW.replace("o1", "o2")))]
    bad = [*((b"u1", value) for value in BAD.values()), *wrong_keys]
    mixed: list[Any] = [*good, *bad]
    random.Random(11).shuffle(mixed)
    send(settings, ORDERS, mixed)
    report = Supervisor(settings, instances=2, done=UntilEmpty(settings)).run(threading.Event())
    assert (report.totals.stored, report.totals.dead, report.restarts) == (len(good), len(bad), 0)
    assert report.totals.unknown_fields == 1
    rows = query(settings, "SELECT key, value FROM dead_letters")
    assert {(_bytes(key), _bytes(value)) for key, value in rows} == set(bad)
    again = dead_letters.replay(settings, Filter())
    assert (again.tried, again.stored, sum(again.refused.values())) == (len(bad), 0, len(bad))
    check(settings, len(good))


def _bytes(value: memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)
