"""`smoke` against the real servers: with consumers, without, and beside those who get in its way."""

from __future__ import annotations

import json
import signal
import threading
from typing import Any

import pytest

from sesacctl.events import ORDERS, Kind
from sesacctl.pipeline import smoke as smoke_module
from sesacctl.pipeline.audit.partitions import read_partitions
from sesacctl.pipeline.audit.report import audit
from sesacctl.pipeline.repair import reset_offsets
from sesacctl.pipeline.smoke import PREFIX, smoke
from sesacctl.pipeline.trace.timeline import Verdict
from sesacctl.pipeline.trace.trace import trace_position
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import consuming, store_all
from tests.helpers.events import add_parents, message, order, query, send
from tests.helpers.topics import make_topics
from tests.helpers.waiting import BUSY_SECONDS, wait_until


@pytest.fixture
def shop(settings: Settings) -> Settings:
    """Topics, a user and a product."""
    make_topics(settings)
    add_parents(settings)
    return settings


def left(settings: Settings) -> list[int]:
    """How many orders, users, parked events and dead letters of smoke tests are there."""
    return [
        int(query(settings, statement, f"{PREFIX}%")[0][0])
        for statement in (
            "SELECT count(*) FROM orders WHERE user_id LIKE %s",
            "SELECT count(*) FROM users WHERE user_id LIKE %s",
            "SELECT count(*) FROM parked_events WHERE convert_from(key, 'UTF8') LIKE %s",
            "SELECT count(*) FROM dead_letters WHERE convert_from(key, 'UTF8') LIKE %s",
        )
    ]


def test_orders_come_through_and_leave_nothing_behind(shop: Settings, sesacctl: Cli) -> None:
    with consuming(shop):
        done = sesacctl("smoke", "--orders", 7, "-o", "json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["sent"], report["acknowledged"], report["stored"]) == (7, 7, 7)
    assert "7 of 7 orders are stored" in done.stderr
    assert [hop["count"] for hop in report["hops"]] == [8, 1, 7]
    assert report["removed"]["orders"] == 7
    assert left(shop) == [0, 0, 0, 0]
    [(topic, partition)] = query(
        shop, "SELECT topic, partition FROM sink_offsets WHERE topic LIKE '%%orders' AND stored > 0"
    )
    assert trace_position(shop, topic, partition, 0).verdict is Verdict.REMOVED
    assert audit(shop, deep=True).ok


def test_consumed_again_the_orders_come_to_nothing(shop: Settings) -> None:
    with consuming(shop):
        assert smoke(shop, orders=3, timeout=BUSY_SECONDS, stop=threading.Event()).ok
    reset_offsets.move(shop, reset_offsets.plan(shop, tuple(Kind), "earliest"))
    store_all(shop)
    assert left(shop) == [0, 0, 0, 0]
    assert audit(shop, deep=True).ok


def test_without_consumers_it_says_so_and_cleans_up(shop: Settings, sesacctl: Cli) -> None:
    done = sesacctl("smoke", "--timeout", "1s")
    assert done.returncode == 5
    assert "was not stored in time" in done.stderr
    assert "sesacctl consume" in done.stderr
    store_all(shop)
    assert left(shop) == [0, 0, 0, 0]
    assert audit(shop, deep=True).ok


def test_an_order_that_is_refused_is_named(shop: Settings, sesacctl: Cli) -> None:
    query(shop, "ALTER TABLE orders ADD CONSTRAINT few CHECK (quantity < 0 OR user_id NOT LIKE 'smoke-%%')")
    with consuming(shop):
        done = sesacctl("smoke", "--orders", 2, "--timeout", f"{BUSY_SECONDS:g}s")
    assert done.returncode == 5, done.stdout
    assert "2 of 2 orders were not stored" in done.stderr
    assert "dead letter" in done.stderr
    assert left(shop)[:3] == [0, 0, 0]


def test_orders_that_the_loop_made_of_its_user_leave_too(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new user may come into the cache, and the producer makes orders of whom it finds there."""
    see = smoke_module._Run._see_orders

    def then_order(run: smoke_module._Run, cursor: Any) -> bool:
        query(shop, "INSERT INTO orders SELECT 'other', %s, 'p1', 1, 1 ON CONFLICT DO NOTHING", run.user_id)
        return see(run, cursor)

    monkeypatch.setattr(smoke_module._Run, "_see_orders", then_order)
    with consuming(shop):
        report = smoke(shop, orders=2, timeout=BUSY_SECONDS, stop=threading.Event())
    assert report.ok
    assert left(shop) == [0, 0, 0, 0]


def test_ctrl_c_cleans_up(shop: Settings, sesacctl: Cli) -> None:
    process = sesacctl.start("smoke", "--timeout", "10m")
    wait_until(lambda: any(part.log_end for part in read_partitions(shop)), message="the user is sent")
    process.send_signal(signal.SIGINT)
    assert process.wait(BUSY_SECONDS) == 130
    store_all(shop)
    assert left(shop) == [0, 0, 0, 0]


def test_without_redis_nothing_is_sent(shop: Settings, sesacctl: Cli) -> None:
    """What is sent could not be taken out of the cache again."""
    done = sesacctl("smoke", "--timeout", "10m", REDIS_PORT="1")
    assert (done.returncode, "Redis at" in done.stderr) == (4, True)
    assert sum(part.log_end for part in read_partitions(shop)) == 0


def test_without_a_product_nothing_is_sent(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    done = sesacctl("smoke")
    assert done.returncode == 5
    assert "sesacctl db seed" in done.stderr
    send(settings, ORDERS, [message(order(1))])
    assert query(settings, "SELECT count(*) FROM forgotten_users") == [(0,)]
