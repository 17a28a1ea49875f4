"""Users, products and orders for programs: create, get, list by key, update and delete.

Each call commits, except inside `database.session_scope()`, which commits everything at its end.
A value that does not fit raises `InvalidRow`, which names the field; only that call is undone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from psycopg2 import errorcodes
from sqlalchemy import CursorResult, delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from sesacctl import events
from sesacctl.database import rows
from sesacctl.database.database import SCOPED
from sesacctl.database.models import Base, Order, Product, RowChange, User
from sesacctl.database.rows import Values
from sesacctl.errors import InvalidRow

Row = TypeVar("Row", bound=Base)
LIST_LIMIT = 100


def create_user(session: Session, values: Values) -> User:
    """Store a user: `user_id` and `name`, and any of gender, age, age_group, region or address, join_date.

    Raises:
        InvalidRow: a value does not fit, or there is a user with this id already.
    """
    return _create(session, User(**rows.new_user(values)), "user_id")


def create_product(session: Session, values: Values) -> Product:
    """Store a product: `product_id`, `name` and `price` in won, and any other columns; errors as `create_user`."""
    return _create(session, Product(**rows.new_product(values)), "product_id")


def create_order(session: Session, values: Values) -> Order:
    """Store an order: `user_id`, `product_id` and `quantity`, and any of the other columns.

    Raises:
        InvalidRow: a value does not fit, there is no such user or product, or the order is stored already.
    """
    user = _must_get(session, User, "user_id", values.get("user_id"))
    product = _must_get(session, Product, "product_id", values.get("product_id"))
    return _create(session, Order(**rows.new_order(values, user, product)), "order_id")


def get_user(session: Session, user_id: str) -> User | None:
    """The user, or None."""
    return session.get(User, user_id)


def get_product(session: Session, product_id: str) -> Product | None:
    """The product, or None."""
    return session.get(Product, product_id)


def get_order(session: Session, order_id: str) -> Order | None:
    """The order, or None."""
    return session.get(Order, order_id)


def list_users(session: Session, *, after: str = "", limit: int = LIST_LIMIT) -> list[User]:
    """Users by id, beginning behind `after`: pass the last id of one page to get the next, however far down."""
    return list(session.scalars(select(User).where(User.user_id > after).order_by(User.user_id).limit(limit)))


def list_products(session: Session, *, after: str = "", limit: int = LIST_LIMIT) -> list[Product]:
    """Products by id; pages as `list_users`."""
    query = select(Product).where(Product.product_id > after).order_by(Product.product_id).limit(limit)
    return list(session.scalars(query))


def list_orders(session: Session, *, after: str = "", limit: int = LIST_LIMIT) -> list[Order]:
    """Orders by id, which for our own ids is by time; pages as `list_users`."""
    return list(session.scalars(select(Order).where(Order.order_id > after).order_by(Order.order_id).limit(limit)))


def update_user(session: Session, user_id: str, values: Values) -> User:
    """Change a user; a new `age` brings its `age_group`, an `address` its `region`.

    Raises:
        InvalidRow: no such user, a value does not fit, or the column must not change.
    """
    return _update(session, _must_get(session, User, "user_id", user_id), events.USERS, values)


def update_product(session: Session, product_id: str, values: Values) -> Product:
    """Change a product; errors as `update_user`."""
    product = _must_get(session, Product, "product_id", product_id)
    return _update(session, product, events.PRODUCTS, values)


def update_order(session: Session, order_id: str, values: Values) -> Order:
    """Change an order's `status` or `payment_method`; nothing else of it may change. Errors as `update_user`."""
    return _update(session, _must_get(session, Order, "order_id", order_id), events.ORDERS, values)


def delete_user(session: Session, user_id: str) -> None:
    """Delete a user who has no orders; `row_changes` notes it, so that `audit` does not call the row gone.

    Raises:
        InvalidRow: no such user, or there are orders of theirs.
    """
    _delete(session, User, "user_id", user_id)


def delete_product(session: Session, product_id: str) -> None:
    """Delete a product that nobody has ordered; errors as `delete_user`."""
    _delete(session, Product, "product_id", product_id)


def delete_order(session: Session, order_id: str) -> None:
    """Delete an order; noted as in `delete_user`.

    Raises:
        InvalidRow: no such order.
    """
    _delete(session, Order, "order_id", order_id)


def _must_get(session: Session, model: type[Row], field: str, key: Any) -> Row:
    if not isinstance(key, str) or not key:
        raise InvalidRow(field, "is required and must be text")
    row = session.get(model, key)
    if row is None:
        raise _missing(model, field, key)
    return row


def _missing(model: type[Base], field: str, key: str) -> InvalidRow:
    return InvalidRow(field, f"there is no {model.__name__.lower()} {key!r}")


def _create(session: Session, row: Row, field: str) -> Row:
    with _writing(session, field):
        session.add(row)
    session.refresh(row)  # so that it can be read after the session was closed
    return row


def _update(session: Session, row: Row, table: str, values: Values) -> Row:
    checked = rows.changes(table, values)
    with _writing(session, table):
        for field, value in checked.items():
            setattr(row, field, value)
    session.refresh(row)
    return row


def _delete(session: Session, model: type[Base], field: str, key: str) -> None:
    _must_get(session, model, field, key)
    with _writing(session, field):
        # By its row count: the row that we know may be gone, and would be counted as deleted twice.
        deleted = session.execute(delete(model).where(getattr(model, field) == key))
        if not cast("CursorResult[Any]", deleted).rowcount:
            raise _missing(model, field, key)
        session.add(RowChange(table_name=model.__tablename__, change=-1, reason="crud"))


@contextmanager
def _writing(session: Session, field: str) -> Iterator[None]:
    scoped = session.info.get(SCOPED, False)
    try:
        if scoped:
            with session.begin_nested():
                yield
        else:
            yield
            session.commit()
    except IntegrityError as error:
        if not scoped:
            session.rollback()
        raise _refused(error, field) from error


def _refused(error: IntegrityError, field: str) -> InvalidRow:
    diagnosis = getattr(error.orig, "diag", None)
    detail = str(diagnosis.message_detail if diagnosis else error.orig)
    if diagnosis and diagnosis.sqlstate == errorcodes.UNIQUE_VIOLATION:
        return InvalidRow(field, f"is taken: {detail}")
    return InvalidRow(field, detail)
