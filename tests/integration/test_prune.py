"""`db prune`: old orders leave in batches, counted; what else is gone is still found."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sesacctl.errors import CheckFailed
from sesacctl.events import ORDERS, uuid7
from sesacctl.pipeline.audit.report import audit
from sesacctl.pipeline.produce.ledger import Ledger
from sesacctl.pipeline.repair.prune import prune
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import store_all
from tests.helpers.events import AT, Message, add_parents, message, order, query, send
from tests.helpers.topics import make_topics

OLD, NEW = 25, 10
BEFORE = AT - timedelta(days=30)


def made_at(number: int, at: datetime, **values: Any) -> Message:
    return message(order(number, created_at=at, **values))


@pytest.fixture
def shop(settings: Settings) -> Settings:
    """Orders of long ago and of now, all consumed; one more that never came through Kafka."""
    make_topics(settings)
    add_parents(settings)
    send(settings, ORDERS, [made_at(n, AT - timedelta(days=100)) for n in range(OLD)])
    send(settings, ORDERS, [made_at(OLD + n, AT) for n in range(NEW)])
    store_all(settings)
    return settings


def test_old_orders_leave_and_the_audit_says_so(shop: Settings, sesacctl: Cli) -> None:
    planned = json.loads(sesacctl("db", "prune", "--older-than", "1000d", "--dry-run", "-o", "json").stdout)
    assert (planned["orders"], planned["dry_run"]) == (0, True)
    done = prune(shop, BEFORE, batch=10)
    assert (done.orders, done.stopped) == (OLD, False)
    result = audit(shop, values=True)
    assert result.deep is not None
    assert (result.ok, result.pruned, result.rows[ORDERS], result.gone[ORDERS]) == (True, OLD, NEW, 0)
    assert (result.deep.removed, result.deep.missing) == (OLD, 0)
    title = sesacctl("audit").stdout.splitlines()[0]
    assert f"nothing that was consumed is lost; {OLD} orders pruned by age" in title


def test_the_command_takes_days_and_asks_first(shop: Settings, sesacctl: Cli) -> None:
    query(shop, "UPDATE orders SET created_at = now() - interval '95 days' WHERE created_at < %s", BEFORE)
    asked = sesacctl("db", "prune", "--older-than", "90d")
    assert (asked.returncode, "--yes" in asked.stderr) == (2, True)
    done = sesacctl("db", "prune", "--older-than", "90d", "--yes", "-o", "json")
    assert (done.returncode, json.loads(done.stdout)["orders"]) == (0, OLD), done.stderr
    again = sesacctl("db", "prune", "--older-than", "90d", "--yes", "-o", "json")
    assert json.loads(again.stdout)["orders"] == 0


def test_stopped_half_way_nothing_is_wrong_and_it_continues(shop: Settings) -> None:
    stop = threading.Event()
    first = prune(shop, BEFORE, batch=10, stop=stop, on_batch=lambda _orders: stop.set())
    assert (first.orders, first.stopped) == (10, True)
    assert (audit(shop, deep=True).ok, audit(shop).pruned) == (True, 10)
    assert prune(shop, BEFORE, batch=10).orders == OLD - 10
    assert (audit(shop).ok, audit(shop).pruned) == (True, OLD)


def test_a_batch_that_fails_leaves_its_orders_and_its_count(shop: Settings) -> None:
    query(
        shop,
        "CREATE FUNCTION stop() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN IF old.order_id = 'o9' THEN RAISE 'not this one'; END IF; RETURN old; END $$;"
        " CREATE TRIGGER stop BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION stop()",
    )
    with pytest.raises(Exception, match="not this one"):
        prune(shop, BEFORE, batch=10)
    result = audit(shop)
    assert (result.ok, result.pruned, result.rows[ORDERS]) == (True, 20, OLD + NEW - 20)


def test_a_trigger_that_keeps_orders_is_named(shop: Settings) -> None:
    query(
        shop,
        "CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;"
        " CREATE TRIGGER keep BEFORE DELETE ON orders FOR EACH ROW EXECUTE FUNCTION keep()",
    )
    with pytest.raises(CheckFailed, match="kept 10 of the rows"):
        prune(shop, BEFORE, batch=10)
    assert audit(shop).pruned == 0


def test_rows_deleted_by_hand_are_still_told(shop: Settings) -> None:
    query(shop, "DELETE FROM orders WHERE order_id IN ('o1', 'o30')")
    prune(shop, BEFORE)
    result = audit(shop, deep=True)
    assert (result.ok, result.gone[ORDERS], result.pruned) == (False, 2, OLD - 1)
    assert result.deep is not None
    assert [event.id for event in result.deep.named] == ["o30"], "an old one cannot be told from those that were pruned"


def test_a_ledger_names_what_is_too_new_to_be_pruned(shop: Settings, tmp_path: Path) -> None:
    prune(shop, BEFORE)
    lost = uuid7()
    ledger = Ledger(tmp_path / "ledger")
    ledger.intend(ORDERS, ["o1", "o2", lost])
    ledger.acknowledge(ORDERS, ["o1", "o2", lost])
    ledger.close()
    found = audit(shop, ledgers=[tmp_path / "ledger"]).ledger
    assert found is not None
    assert (found.removed, found.missing) == (2, 1)
