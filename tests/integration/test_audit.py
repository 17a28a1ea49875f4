"""`audit`, `lag` and `consume --from` against the real servers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sesacctl.broker import topics
from sesacctl.errors import UsageError
from sesacctl.events import ORDERS, USERS
from sesacctl.pipeline import rewind
from sesacctl.pipeline.audit import audit
from sesacctl.pipeline.ledger import Ledger
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.events import add_parents, many_orders, message, order, query, send


@pytest.fixture
def consumed(settings: Settings, sesacctl: Cli) -> Settings:
    """500 stored orders, one dead letter and one parked order."""
    topics.init(settings)
    add_parents(settings, users=100)
    send(settings, ORDERS, [*many_orders(500), (b"u1", b"{}"), message(order(1, user_id="u900"))])
    done = sesacctl("consume", "-n", 1, "--until-empty")
    assert done.returncode == 0, done.stderr
    assert "1 order is still parked" in done.stderr
    return settings


def test_a_deep_audit_finds_every_event(consumed: Settings, sesacctl: Cli) -> None:
    done = sesacctl("audit", "--deep", "-o", "json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["taken"], result["missing"], result["lag"]) == (502, 0, 0)
    deep = result["deep"]
    assert (deep["read"], deep["found"], deep["kept"], deep["missing"], deep["expired"]) == (502, 500, 2, 0, 0)
    assert "nothing lost" in sesacctl("audit", "--deep").stdout


def test_a_deep_audit_names_what_is_in_no_table(consumed: Settings, sesacctl: Cli) -> None:
    [(lost,)] = query(
        consumed, "DELETE FROM orders WHERE order_id = (SELECT max(order_id) FROM orders) RETURNING order_id"
    )
    query(consumed, "DELETE FROM dead_letters")
    assert sesacctl("audit").returncode == 0, "by counts alone nothing is missing"
    done = sesacctl("audit", "--deep")
    assert done.returncode == 5
    assert lost in done.stdout
    assert "(cannot be decoded)" in done.stdout


def test_an_audit_by_counts_sees_an_offset_that_nobody_accounts_for(consumed: Settings, sesacctl: Cli) -> None:
    query(consumed, "UPDATE sink_offsets SET stored = stored - 1 WHERE stored > 0 AND partition = 0")
    done = sesacctl("audit", "-o", "json")
    assert (done.returncode, json.loads(done.stdout)["missing"]) == (5, 1)


def test_an_audit_sees_a_row_stored_twice(consumed: Settings) -> None:
    query(consumed, "ALTER TABLE orders DROP CONSTRAINT orders_pkey")
    query(consumed, "INSERT INTO orders SELECT * FROM orders ORDER BY order_id LIMIT 1")
    assert (audit(consumed).ok, audit(consumed).duplicated) == (False, 1)


def test_lag_counts_what_is_not_stored_and_calls_it_stalled(consumed: Settings, sesacctl: Cli) -> None:
    send(consumed, ORDERS, many_orders(30))
    report = json.loads(sesacctl("lag", "--window", "1s", "-o", "json").stdout)
    assert (report["lag"], report["verdict"], report["drain_seconds"]) == (30, "stalled", None)
    assert sum(part["log_end"] - (part["next"] or 0) for part in report["partitions"]) == 30


def test_consuming_again_from_the_start_counts_duplicates_and_loses_nothing(consumed: Settings, sesacctl: Cli) -> None:
    assert sesacctl("consume", "-n", 1, "--until-empty", "--from", "earliest").returncode == 2, "it asks first"
    done = sesacctl("consume", "-n", 1, "--until-empty", "--from", "earliest", "--yes", "-o", "json")
    assert done.returncode == 0, done.stderr
    totals = json.loads(done.stdout)["totals"]
    assert (totals["stored"], totals["duplicates"], totals["dead"], totals["parked"]) == (0, 500, 1, 1)
    assert audit(consumed, deep=True).ok
    assert query(consumed, "SELECT count(*) FROM orders") == [(500,)]


def test_where_a_start_is(consumed: Settings) -> None:
    def after(start: str) -> set[int]:
        return {found.after for found in rewind.plan(consumed, (ORDERS,), start)}

    assert after("earliest") == {0}
    assert after("latest") == set(), "everything is stored: nothing moves"
    assert after("3") == {3}
    assert after("2000-01-01") == {0}
    assert after("2999-01-01T00:00:00+09:00") == set()
    assert rewind.plan(consumed, (USERS,), "earliest") == []
    with pytest.raises(UsageError):
        rewind.plan(consumed, (ORDERS,), "yesterday")


def test_only_the_wanted_topics_are_consumed(settings: Settings, sesacctl: Cli) -> None:
    topics.init(settings)
    send(settings, ORDERS, many_orders(10))
    done = sesacctl("consume", "-n", 1, "--until-empty", "--topics", "users,products", "-o", "json")
    assert (done.returncode, json.loads(done.stdout)["events"]) == (0, 0)
    assert sesacctl("consume", "--topics", "users,payments").returncode == 2


def test_a_ledger_is_held_against_the_tables(consumed: Settings, sesacctl: Cli, tmp_path: Path) -> None:
    stored = [name for (name,) in query(consumed, "SELECT order_id FROM orders ORDER BY 1 LIMIT 3")]
    ledger = Ledger(tmp_path / "l.jsonl")
    ledger.intend(ORDERS, [*stored, "sent-only"])
    ledger.acknowledge(ORDERS, stored[:2])
    ledger.close()
    done = sesacctl("audit", "--ledger", tmp_path / "l.jsonl", "-o", "json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["ledger"]
    assert (found["acknowledged"], found["stored"], found["missing"], found["doubled"]) == (2, 2, 0, 0)
    assert (found["unacknowledged"], found["unacknowledged_stored"]) == (2, 1)
    query(consumed, "DELETE FROM orders WHERE order_id = %s", stored[0])
    done = sesacctl("audit", "--ledger", tmp_path / "l.jsonl")
    assert done.returncode == 5
    assert stored[0] in done.stdout
    assert sesacctl("audit", "--ledger", tmp_path / "none.jsonl").returncode == 2
