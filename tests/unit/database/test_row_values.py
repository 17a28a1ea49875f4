"""What the library refuses, with the field named, and what it fills in."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

import pytest

from sesacctl.database import row_values
from sesacctl.database.models import Product, User
from sesacctl.errors import InvalidRow
from sesacctl.events import Kind

USER = {"user_id": "U_1", "name": "홍길동"}
PRODUCT = {"product_id": "P_1", "name": "노트북", "price": 1000}
ALICE = User(user_id="U_1", name="홍길동", region="서울", gender="M", age_group="30대")
LAPTOP = Product(product_id="P_1", name="노트북", price=1000, category="전자제품")
ORDER = {"user_id": "U_1", "product_id": "P_1", "quantity": 2}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("age", 151),
        ("age", -1),
        ("age", "abc"),
        ("age", True),
        ("age", 1.5),
        ("name", "가" * 101),
        ("name", None),
        ("name", "a\0b"),
        ("name", "\ud800"),
        ("user_id", ""),
        ("user_id", "u" * 51),
        ("user_id", 7),
        ("gender", "MF"),
        ("join_date", "2024-02-30"),
        ("address", 5),
        ("nickname", "길동"),
        ("last_cached_at", None),
    ],
)
def test_a_bad_user_names_its_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidRow) as caught:
        row_values.new_user({**USER, field: value})
    assert caught.value.field == field
    assert str(caught.value).startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("field", "value"), [("price", 2**31), ("price", -1), ("price", "12"), ("discount_rate", 101.0), ("stock", -5)]
)
def test_a_bad_product_names_its_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidRow) as caught:
        row_values.new_product({**PRODUCT, field: value})
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("field", "value"), [("quantity", 0), ("quantity", None), ("quantity", 3_000_000), ("payment_method", "x" * 21)]
)
def test_a_bad_order_names_its_field(field: str, value: Any) -> None:
    with pytest.raises(InvalidRow) as caught:
        row_values.new_order({**ORDER, field: value}, ALICE, LAPTOP)
    assert caught.value.field in (field, "total_amount")


@pytest.mark.parametrize("missing", ["product_id", "name", "price"])
def test_a_missing_value_is_named(missing: str) -> None:
    with pytest.raises(InvalidRow, match=f"^{missing}: is required"):
        row_values.new_product({field: value for field, value in PRODUCT.items() if field != missing})


@pytest.mark.parametrize(("age", "group"), [(9, "10대 미만"), (10, "10대"), (34, "30대"), (150, "150대")])
def test_age_groups(age: int, group: str) -> None:
    assert row_values.age_group(age) == group
    assert len(group) <= 10


def test_a_user_is_completed() -> None:
    row = row_values.new_user({**USER, "age": 30, "address": "  Seoul Gangnam-gu ..."})
    assert (row["region"], row["age_group"], row["join_date"]) == ("Seoul", "30대", dt.datetime.now(dt.UTC).date())
    assert "address" not in row


def test_given_values_are_not_derived() -> None:
    row = row_values.new_user({**USER, "age": 30, "age_group": "청년", "address": "Seoul", "region": "부산"})
    assert (row["region"], row["age_group"]) == ("부산", "청년")


def test_an_order_is_completed() -> None:
    row = row_values.new_order({**ORDER, "shipping_cost": 300, "discount_amount": 100}, ALICE, LAPTOP)
    assert row["total_amount"] == 2 * 1000 - 100 + 300
    assert (row["category"], row["user_region"], row["user_gender"], row["user_age_group"]) == (
        "전자제품",
        "서울",
        "M",
        "30대",
    )
    assert uuid.UUID(row["order_id"]).version == 7


def test_changes_bring_what_hangs_on_them() -> None:
    assert row_values.changes(Kind.USERS, {"age": 41}) == {"age": 41, "age_group": "40대"}
    assert row_values.changes(Kind.USERS, {"age": None}) == {"age": None, "age_group": None}
    assert row_values.changes(Kind.USERS, {"address": "부산 해운대구"}) == {"region": "부산"}


@pytest.mark.parametrize(
    ("table", "field"),
    [("users", "user_id"), ("users", "created_at"), ("products", "product_id"), ("orders", "quantity")],
)
def test_what_must_not_change(table: Kind, field: str) -> None:
    with pytest.raises(InvalidRow, match=f"^{field}: cannot be changed"):
        row_values.changes(table, {field: 1})


def test_a_required_column_cannot_be_emptied() -> None:
    with pytest.raises(InvalidRow, match=r"^name: is required$"):
        row_values.changes(Kind.USERS, {"name": None})
