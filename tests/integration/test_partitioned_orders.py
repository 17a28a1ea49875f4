"""`orders` as a partitioned table, by the scripts of deploy/sql: the sink stores in it, `db check` knows its key."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sesacctl.pipeline.repair.dump import dump
from sesacctl.pipeline.repair.restore import restore
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.events import add_parents, message, order, query
from tests.helpers.rig import Rig
from tests.integration.test_db_schema import execute

SQL = Path(__file__).parents[2] / "deploy" / "sql"
FIRST, LATER = "2026-11-22T20:00:00Z", "2026-11-23T20:00:00Z"


@pytest.fixture
def rig(settings: Settings) -> Iterator[Rig]:
    found = Rig(settings)
    yield found
    found.connection.close()


@pytest.fixture(params=["orders_by_hash", "orders_by_month"])
def script(request: pytest.FixtureRequest, settings: Settings, rig: Rig) -> str:
    add_parents(settings)
    rig.store([message(order(number, created_at=FIRST)) for number in range(50)])
    execute(settings, (SQL / f"{request.param}.sql").read_text())
    rig.reconnect()
    return str(request.param)


def stored(settings: Settings) -> int:
    [(count,)] = query(settings, "SELECT count(*) FROM orders")
    return int(count)


def orders(settings: Settings) -> list[tuple[object, ...]]:
    return query(settings, "SELECT order_id, user_id, total_amount, created_at FROM orders ORDER BY 1")


@pytest.mark.usefixtures("script")
def test_rows_and_new_ones_are_there_and_duplicates_are_not(settings: Settings, rig: Rig) -> None:
    assert stored(settings) == 50
    counts = rig.store([message(order(number, created_at=FIRST)) for number in range(80)])
    assert (counts.stored, counts.duplicates, counts.dead) == (30, 50, 0)
    [(partitions,)] = query(settings, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'orders'::regclass")
    assert partitions > 1


def test_an_order_at_another_time_is_new_where_the_key_has_it(script: str, rig: Rig, sesacctl: Cli) -> None:
    counts = rig.store([message(order(1, created_at=LATER))])
    shown = sesacctl("db", "check").stdout
    assert " none " in shown.partition("drift")[2].partition("\n")[0]
    if script == "orders_by_month":
        assert counts.stored == 1
        assert "is (order_id, created_at): two events of one order_id may both be stored" in shown
    else:
        assert counts.stored == 0
        assert "two events" not in shown


@pytest.mark.parametrize("name", ["orders_by_hash", "orders_by_month"])
def test_a_dump_comes_back_with_partitions_and_without(settings: Settings, rig: Rig, tmp_path: Path, name: str) -> None:
    """From a plain table into partitions, from these into themselves, and into a plain table again."""
    add_parents(settings)
    rig.store([message(order(number, created_at=FIRST if number % 2 else LATER)) for number in range(50)])
    rig.connection.close()
    plain, parted, before = tmp_path / "plain.dump", tmp_path / "parted.dump", orders(settings)
    dump(settings, plain)
    execute(settings, (SQL / f"{name}.sql").read_text())
    for path in (plain, parted):
        query(settings, "TRUNCATE orders")
        assert restore(settings, path).rows["orders"] == 50
        assert orders(settings) == before
        dump(settings, parted)
    execute(settings, "CREATE TABLE whole (LIKE orders INCLUDING DEFAULTS); DROP TABLE orders")
    execute(settings, "ALTER TABLE whole RENAME TO orders")
    restore(settings, parted)
    assert orders(settings) == before
