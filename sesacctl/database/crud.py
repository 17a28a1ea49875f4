"""Users, products and orders for programs: create, get, list by key, update and delete.

Each call that writes commits, unless the transaction is the caller's: opened by `begin()` or `session_scope()`, or with
something in it that the caller has written, locked or added. There the call is a savepoint, and committing is theirs.
A value that does not fit raises `InvalidRow`, which names the field; only that call is undone.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from psycopg2 import errorcodes
from sqlalchemy import CursorResult, delete, select, text
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session, SessionTransactionOrigin

from sesacctl import events
from sesacctl.database import row_values
from sesacctl.database.models import Base, Order, Product, RowChange, User
from sesacctl.database.row_values import Values
from sesacctl.errors import InvalidRow, NotFound

Row = TypeVar("Row", bound=Base)
LIST_LIMIT = 100


def create_user(session: Session, values: Values) -> User:
    """Store a user: `user_id` and `name`, and any of gender, age, age_group, region or address, join_date.

    Raises:
        InvalidRow: a value does not fit, or there is a user with this id already.
    """
    return _create(session, User(**row_values.new_user(values)), "user_id")


def create_product(session: Session, values: Values) -> Product:
    """Store a product: `product_id`, `name` and `price` in won, and any other columns; errors as `create_user`."""
    return _create(session, Product(**row_values.new_product(values)), "product_id")


def create_order(session: Session, values: Values) -> Order:
    """Store an order: `user_id`, `product_id` and `quantity`, and any of the other columns.

    Raises:
        InvalidRow: a value does not fit, there is no such user or product, or the order is stored already.
    """
    try:
        user = _must_get(session, User, "user_id", values.get("user_id"))
        product = _must_get(session, Product, "product_id", values.get("product_id"))
    except NotFound as error:
        raise InvalidRow(error.field, str(error).partition(": ")[2]) from None
    return _create(session, Order(**row_values.new_order(values, user, product)), "order_id")


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
        NotFound: there is no such user.
        InvalidRow: a value does not fit, or the column must not change.
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
        NotFound: there is no such user.
        InvalidRow: there are orders of theirs.
    """
    _delete(session, User, "user_id", user_id)


def delete_product(session: Session, product_id: str) -> None:
    """Delete a product without orders; errors as `delete_user`."""
    _delete(session, Product, "product_id", product_id)


def delete_order(session: Session, order_id: str) -> None:
    """Delete an order; noted as in `delete_user`.

    Raises:
        NotFound: there is no such order.
    """
    _delete(session, Order, "order_id", order_id)


def _must_get(session: Session, model: type[Row], field: str, key: object) -> Row:
    if not isinstance(key, str) or not key:
        raise InvalidRow(field, "is required and must be text")
    row = session.get(model, key)
    if row is None:
        raise NotFound(field, key)
    return row


def _create(session: Session, row: Row, field: str) -> Row:
    with _writing(session, field, row):
        session.add(row)
    return row


def _update(session: Session, row: Row, table: events.Kind, values: Values) -> Row:
    checked = row_values.changes(table, values)
    with _writing(session, table, row):
        for field, value in checked.items():
            setattr(row, field, value)
    return row


def _delete(session: Session, model: type[Base], field: str, key: str) -> None:
    _must_get(session, model, field, key)
    with _writing(session, field):
        # By its row count: the row that we know may be gone, and would be counted as deleted twice.
        deleted = session.execute(delete(model).where(getattr(model, field) == key))
        if not cast("CursorResult[Any]", deleted).rowcount:
            raise NotFound(field, key)
        session.add(RowChange(table_name=model.__tablename__, change=-1, reason="crud"))


@contextmanager
def _writing(session: Session, field: str, row: Base | None = None) -> Iterator[None]:
    """Write and commit, or set a savepoint; `row` is read again, with what PostgreSQL fills in."""
    try:
        with session.begin_nested() if _is_callers(session) else _committed(session):
            yield
            session.flush()
            if row is not None:
                session.refresh(row)
    except (IntegrityError, DataError) as error:
        raise _refused(error, field) from error


def _is_callers(session: Session) -> bool:
    """Whether the transaction is the caller's to end: begun by them, or with work of theirs in it."""
    transaction = session.get_transaction()
    if transaction is None:
        return False
    if transaction.origin is not SessionTransactionOrigin.AUTOBEGIN or session.in_nested_transaction():
        return True
    if session.new or session.dirty or session.deleted:
        return True
    # Assigned by the first write or row lock of a transaction: it also knows of SQL that was executed directly.
    return session.execute(text("SELECT pg_current_xact_id_if_assigned()")).scalar() is not None


@contextmanager
def _committed(session: Session) -> Iterator[None]:
    """Commit at the end, without expiring what was loaded: reading it would begin a transaction that nobody ends."""
    expires = session.expire_on_commit
    session.expire_all()  # what was read in earlier transactions is not to be stale instead
    try:
        yield
        session.expire_on_commit = False
        session.commit()
    except BaseException:
        session.rollback()
        raise
    finally:
        session.expire_on_commit = expires


def _refused(error: IntegrityError | DataError, field: str) -> InvalidRow:
    diagnosis = getattr(error.orig, "diag", None)
    detail = str((diagnosis and (diagnosis.message_detail or diagnosis.message_primary)) or error.orig)
    if diagnosis and diagnosis.sqlstate == errorcodes.UNIQUE_VIOLATION:
        return InvalidRow(field, f"is taken: {detail}")
    return InvalidRow(field, detail)
