"""`audit --values`: the columns that never change, held against the event in Kafka."""

from __future__ import annotations

import json

import pytest
from sqlalchemy.orm import Session

from sesacctl.database import crud, database
from sesacctl.events import ORDERS, PRODUCTS, USERS
from sesacctl.pipeline.audit.deep import COMPARED, DeepAudit
from sesacctl.pipeline.audit.report import audit
from sesacctl.settings import Settings
from tests.conftest import Cli
from tests.helpers.consumers import store_all
from tests.helpers.events import many_orders, message, order, product, query, send, user
from tests.helpers.topics import make_topics


@pytest.fixture
def shop(settings: Settings) -> Settings:
    """150 orders, one of which says everything; a duplicate, and a conflict, which is a dead letter."""
    make_topics(settings)
    send(settings, USERS, [message(user(1)), message(user(2, gender=None))])
    send(settings, PRODUCTS, [message(product(1, category="전자제품"))])
    first = order(1, shipping_cost=3_000, discount_amount=5, user_gender="M", status="결제완료")
    again, conflict = order(1, shipping_cost=3_000, discount_amount=5), order(1, total_amount=7)
    orders = [message(event) for event in (first, again, conflict)]
    send(settings, ORDERS, [*orders, *many_orders(149, users=2)])
    store_all(settings)
    return settings


def compared(settings: Settings) -> DeepAudit:
    deep = audit(settings, values=True).deep
    assert deep is not None
    return deep


@pytest.mark.usefixtures("shop")
def test_unchanged_rows_pass_the_audit_of_values(sesacctl: Cli) -> None:
    done = sesacctl("audit", "--values", "-o", "json")
    assert done.returncode == 0, done.stderr
    deep = json.loads(done.stdout)["deep"]
    assert (deep["read"], deep["found"], deep["kept"], deep["missing"], deep["different"]) == (155, 154, 1, 0, 0)
    assert deep["compared"][ORDERS] == [
        "user_id", "product_id", "quantity", "total_amount", "shipping_cost", "discount_amount",
    ]  # fmt: skip


def test_a_changed_row_is_named_with_what_its_event_has(shop: Settings, sesacctl: Cli) -> None:
    [(changed,)] = query(
        shop,
        "UPDATE orders SET total_amount = 1, shipping_cost = NULL"
        " WHERE order_id = (SELECT max(order_id) FROM orders WHERE order_id <> 'o1') RETURNING order_id",
    )
    assert audit(shop, deep=True).ok, "its id is there"
    done = sesacctl("audit", "--values", "-o", "json")
    assert done.returncode == 5
    assert "1 row is not as the event in Kafka" in done.stderr
    deep = json.loads(done.stdout)["deep"]
    assert (deep["different"], deep["missing"]) == (1, 0)
    named = [[row[key] for key in ("table", "id", "column", "expected", "found")] for row in deep["named_different"]]
    assert named == [
        [ORDERS, changed, "total_amount", 1_000, 1],
        [ORDERS, changed, "shipping_cost", 0, None],
    ]
    assert f"{changed}: total_amount is 1, not 1000" in " ".join(sesacctl("audit", "--values").stdout.split())


@pytest.mark.parametrize("column", COMPARED[ORDERS])
def test_every_column_that_never_changes_is_compared(shop: Settings, column: str) -> None:
    other = {"user_id": "'u2'", "product_id": "'p2'"}.get(column, f"{column} + 1")
    query(shop, "INSERT INTO products (product_id, name, price) VALUES ('p2', '상품', 1)")
    query(shop, f"UPDATE orders SET {column} = {other} WHERE order_id = 'o1'")
    deep = compared(shop)
    assert deep.different == 2, "the event, and the same event again"
    assert {row.column for row in deep.named_different} == {column}


def test_the_first_hundred_are_named_and_all_are_counted(shop: Settings) -> None:
    query(shop, "UPDATE orders SET quantity = quantity + 1")
    deep = compared(shop)
    assert (deep.different, len(deep.named_different)) == (151, 100)


def test_columns_that_the_library_may_change_are_not_compared(shop: Settings) -> None:
    assert (COMPARED[USERS], COMPARED[PRODUCTS]) == ((), ())
    engine = database.engine_for(shop, command="test")
    with Session(engine) as session:
        crud.update_user(session, "u1", {"name": "새 이름", "gender": "F"})
        crud.update_product(session, "p1", {"name": "새 상품", "category": None, "brand": "새 상표"})
        crud.update_order(session, "o1", {"status": "배송중", "payment_method": "카드"})
    engine.dispose()
    assert compared(shop).different == 0
    query(shop, "TRUNCATE users CASCADE")
    assert compared(shop).missing == 2 + 151, "users are looked up by their ids"


def test_a_row_stored_twice_is_compared_twice(shop: Settings) -> None:
    query(shop, "ALTER TABLE orders DROP CONSTRAINT orders_pkey")
    query(shop, "CREATE TEMP TABLE o AS SELECT * FROM orders WHERE order_id = 'o1'; UPDATE o SET quantity = 9;"
          " INSERT INTO orders SELECT * FROM o")  # fmt: skip
    deep = compared(shop)
    assert (deep.different, {row.found for row in deep.named_different}) == (2, {9})
