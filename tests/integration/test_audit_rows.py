"""What `audit` says of rows that are gone, that came from elsewhere, and of records that were given up."""

from __future__ import annotations

import json
from typing import Any

import psycopg2
import pytest
from kafka import KafkaAdminClient, TopicPartition
from sqlalchemy.orm import Session

from sesacctl.database import crud, database
from sesacctl.database.samples import seed
from sesacctl.events import ORDERS, PRODUCTS, USERS, Kind
from sesacctl.pipeline.audit import row_counts
from sesacctl.pipeline.audit.report import audit
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import store_all
from tests.helpers.events import add_parents, many_orders, message, product, query, send, user
from tests.helpers.topics import make_topics

STORED = {ORDERS: 200, USERS: 20, PRODUCTS: 5}


@pytest.fixture
def shop(settings: Settings) -> Settings:
    """Users, products and orders that all came through Kafka."""
    make_topics(settings)
    send(settings, USERS, [message(user(n)) for n in range(1, STORED[USERS] + 1)])
    send(settings, PRODUCTS, [message(product(n)) for n in range(1, STORED[PRODUCTS] + 1)])
    send(settings, ORDERS, many_orders(STORED[ORDERS], users=STORED[USERS]))
    store_all(settings)
    return settings


def test_deleted_rows_are_counted_and_reported(shop: Settings, sesacctl: Cli) -> None:
    done = sesacctl("audit")
    assert (done.returncode, "nothing that was consumed is lost" in done.stdout) == (0, True)
    query(shop, "DELETE FROM orders WHERE order_id IN (SELECT order_id FROM orders LIMIT 30)")
    query(shop, "DELETE FROM products WHERE product_id IN ('p4', 'p5')")
    done = sesacctl("audit", "-o", "json")
    result = json.loads(done.stdout)
    assert (done.returncode, result["ok"], result["missing"]) == (5, False, 0)
    assert result["gone"] == {ORDERS: 30, USERS: 0, PRODUCTS: 2}
    assert "rows that were stored are gone, at least 30 from orders, 2 from products" in done.stderr
    assert "sesacctl offsets reset --to earliest --dry-run" in done.stderr
    assert "nothing that was consumed is lost" not in sesacctl("audit").stdout


@pytest.mark.parametrize("table", [ORDERS, USERS, PRODUCTS])
def test_an_emptied_table_is_gone_as_a_whole(shop: Settings, table: Kind) -> None:
    query(shop, f"TRUNCATE {table} CASCADE")
    result = audit(shop)
    assert (result.ok, result.gone[table], result.rows[table]) == (False, STORED[table], 0)


def test_rows_that_the_library_deletes_are_not_gone(shop: Settings) -> None:
    engine = database.engine_for(shop, command="test")
    with Session(engine) as session:
        for order in crud.list_orders(session, limit=3):
            crud.delete_order(session, order.order_id)
        crud.delete_product(session, "p5")
    engine.dispose()
    result = audit(shop)
    assert (result.ok, result.rows[ORDERS], set(result.elsewhere.values())) == (True, 197, {0})
    query(shop, "DELETE FROM orders WHERE order_id = (SELECT min(order_id) FROM orders)")
    assert audit(shop).gone == {ORDERS: 1, USERS: 0, PRODUCTS: 0}


def test_sample_rows_are_expected_to_stay(shop: Settings) -> None:
    seed.seed(shop, users=7, products=3, append=True)
    result = audit(shop)
    assert (result.ok, set(result.elsewhere.values())) == (True, {0})
    query(shop, "DELETE FROM users WHERE user_id = 'u_00000001'; DELETE FROM products WHERE product_id LIKE 'p\\_%'")
    assert audit(shop).gone == {ORDERS: 0, USERS: 1, PRODUCTS: 3}


def test_foreign_rows_are_shown_and_can_hide_lost_ones(shop: Settings, sesacctl: Cli) -> None:
    query(
        shop,
        "INSERT INTO orders (order_id, user_id, product_id, quantity, total_amount)"
        " SELECT 'mine' || n, 'u1', 'p1', 1, 1 FROM generate_series(1, 3) n",
    )
    assert audit(shop).elsewhere == {ORDERS: 3, USERS: 0, PRODUCTS: 0}
    delete = "DELETE FROM orders WHERE order_id IN (SELECT order_id FROM orders WHERE order_id < 'm' LIMIT 2)"
    query(shop, delete)
    hidden = audit(shop)
    assert (hidden.ok, hidden.elsewhere[ORDERS]) == (True, 1)
    title = sesacctl("audit").stdout.splitlines()[0]
    assert "every offset accounted for, and at least as many rows as were stored" in title
    assert audit(shop, deep=True).missing == 2
    query(shop, delete)
    assert audit(shop).gone[ORDERS] == 1


def test_audit_passes_with_foreign_rows_and_nothing_consumed(settings: Settings, sesacctl: Cli) -> None:
    make_topics(settings)
    add_parents(settings)
    assert "nothing that was consumed is lost" in sesacctl("audit").stdout


def test_audit_counts_what_any_group_stored_from_the_topic(shop: Settings) -> None:
    statement = (
        "INSERT INTO sink_offsets (consumer_group, topic, topic_id, partition, first_offset, next_offset, epoch_offset,"
        " stored) VALUES ('another', %s, gen_random_uuid(), 0, 0, 9, 9, 9)"
    )
    query(shop, statement, "orders of somebody else")
    assert audit(shop).ok
    query(shop, statement, shop.topic(ORDERS))
    assert audit(shop).gone[ORDERS] == 9


def test_tables_cannot_be_emptied_between_two_looks(shop: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    look, refused = row_counts.select_row_counts, []

    def beside_a_truncate(cursor: Any, settings: Settings, kind: Kind) -> row_counts.RowCounts:
        with pytest.raises(psycopg2.errors.LockNotAvailable) as caught:
            query(shop, "SET lock_timeout = '50ms'; TRUNCATE sink_offsets, row_changes, orders, users, products")
        refused.append(caught.value)
        return look(cursor, settings, kind)

    monkeypatch.setattr(row_counts, "select_row_counts", beside_a_truncate)
    assert audit(shop).ok
    assert len(refused) == 3


def test_accepted_gaps_are_reported(shop: Settings, sesacctl: Cli) -> None:
    send(shop, ORDERS, many_orders(30), partition=0)
    first = {part.partition: part.log_end for part in audit(shop).partitions if part.kind == ORDERS}[0]
    admin = KafkaAdminClient(bootstrap_servers=shop.brokers)
    admin.delete_records({TopicPartition(shop.topic(ORDERS), 0): first - 20})
    admin.close()
    done = sesacctl("consume", "-n", 1, "--until-empty", "--accept-gap")
    assert done.returncode == 0, done.stderr
    done = sesacctl("audit")
    assert done.returncode == 0, "a person decided"
    assert "every offset accounted for; 10 given up (gone from Kafka before they were stored)" in done.stdout
    assert "nothing that was consumed is lost" not in done.stdout


def test_records_before_the_groups_start_are_reported(shop: Settings, sesacctl: Cli) -> None:
    assert "before the group began" not in sesacctl("audit").stdout
    query(shop, "UPDATE sink_offsets SET first_offset = 3, stored = stored - 3 WHERE partition = 1 AND stored > 3"
          " AND topic LIKE '%orders'")  # fmt: skip
    [line] = [line for line in sesacctl("audit").stdout.splitlines() if "before the group began (not covered)" in line]
    assert [cell.strip() for cell in line.split("│")[2:6]] == ["3", "0", "0", "3"]
