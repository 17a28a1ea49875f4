"""Checks and completes a row's values before they meet PostgreSQL; types and ranges are those of the events."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from sesacctl import events
from sesacctl.errors import InvalidRow

if TYPE_CHECKING:  # commands that need only these rules start without SQLAlchemy
    from sesacctl.database.models import Product, User

Values = Mapping[str, Any]

_TYPES = {
    table: {field.name: field.type for field in msgspec.structs.fields(codec.row)}
    for table, codec in events.CODECS.items()
}
_REQUIRED = {
    events.USERS: ("user_id", "name"),
    events.PRODUCTS: ("product_id", "name", "price"),
    events.ORDERS: ("order_id", "user_id", "product_id", "quantity", "total_amount"),
}
# What `changes` may change. What an order was made of never changes; `last_cached_at` belongs to the cache worker.
CHANGEABLE = {
    events.USERS: set(_TYPES[events.USERS]) - {"user_id", "created_at"},
    events.PRODUCTS: set(_TYPES[events.PRODUCTS]) - {"product_id", "created_at"},
    events.ORDERS: {"status", "payment_method"},
}


def age_group(age: int) -> str:
    """`30대` for 34; below ten years `10대 미만`."""
    return f"{age // 10 * 10}대" if age >= 10 else "10대 미만"


def new_user(values: Values) -> dict[str, Any]:
    """A row of `users`: `region` from the first word of `address`, `age_group` from `age`, joined today by UTC.

    Raises:
        InvalidRow: names the field.
    """
    return _complete(events.USERS, {"join_date": dt.datetime.now(dt.UTC).date(), **_with_derived(values)})


def new_product(values: Values) -> dict[str, Any]:
    """A row of `products`; errors as `new_user`."""
    return _complete(events.PRODUCTS, values)


def new_order(values: Values, user: User, product: Product) -> dict[str, Any]:
    """A row of `orders` with its user's and product's fields as they are now; errors as `new_user`.

    The id is a new UUIDv7, the total price × quantity − discount + shipping, unless they are given.
    """
    row = {
        "order_id": events.uuid7(),
        "shipping_cost": 0,
        "discount_amount": 0,
        "category": product.category,
        "user_region": user.region,
        "user_gender": user.gender,
        "user_age_group": user.age_group,
        **{field: value for field, value in values.items() if value is not None},
    }
    if "total_amount" not in row:
        parts = _checked(
            events.ORDERS, {name: row.get(name) for name in ("quantity", "discount_amount", "shipping_cost")}
        )
        row["total_amount"] = product.price * parts["quantity"] - parts["discount_amount"] + parts["shipping_cost"]
    return _complete(events.ORDERS, row)


def changes(table: events.Kind, values: Values) -> dict[str, Any]:
    """Columns to change and their new values; errors as `new_user`, also for a column that must not change."""
    row = _with_derived(values) if table == events.USERS else dict(values)
    for field in row:
        if field in _TYPES[table] and field not in CHANGEABLE[table]:
            raise InvalidRow(field, "cannot be changed")
    return _checked(table, row)


def _with_derived(values: Values) -> dict[str, Any]:
    row = dict(values)
    address = row.pop("address", None)
    if not isinstance(address, str | None):
        raise InvalidRow("address", "must be text")
    if address and address.strip():
        row.setdefault("region", address.split()[0])
    if "age" in row:
        row.setdefault("age_group", age_group(row["age"]) if isinstance(row["age"], int) else None)
    return row


def _complete(table: events.Kind, values: Values) -> dict[str, Any]:
    for field in _REQUIRED[table]:
        if field not in values:
            raise InvalidRow(field, "is required")
    # A column without a value takes the table's default.
    return {field: value for field, value in _checked(table, values).items() if value is not None}


def _checked(table: events.Kind, values: Values) -> dict[str, Any]:
    return {field: _value(table, field, value) for field, value in values.items()}


def _value(table: events.Kind, field: str, value: object) -> object:
    if field not in _TYPES[table]:
        raise InvalidRow(field, f"{table} has no such column")
    if value is None and field in _REQUIRED[table]:
        raise InvalidRow(field, "is required")
    try:
        checked = msgspec.convert(value, _TYPES[table][field])
        if isinstance(checked, str):
            checked.encode()
    except msgspec.ValidationError as error:
        raise InvalidRow(field, str(error)) from None
    except UnicodeEncodeError:
        raise InvalidRow(field, "holds half a surrogate pair, which is not a character") from None
    if isinstance(checked, str) and "\0" in checked:
        raise InvalidRow(field, "holds the character U+0000, which PostgreSQL cannot store")
    return checked
