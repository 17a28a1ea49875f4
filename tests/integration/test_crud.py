"""The library as the seed guide shows it, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker

from sesacctl.database import crud, database
from sesacctl.database.models import User
from sesacctl.errors import InvalidRow, NotFound
from sesacctl.settings import Settings

# The seed guide's section 5, but for the `sesacctl.` prefix.
GUIDE = """
from sesacctl.database import database, crud, models

# Start a session
db = database.SessionLocal()

# Create a User
new_user = crud.create_user(db, {
    "user_id": "U_001",
    "name": "Hong Gil Dong",
    "gender": "M",
    "age": 30,
    "address": "Seoul Gangnam-gu ..."
})

# Create a Product
new_product = crud.create_product(db, {
    "product_id": "P1001",
    "name": "MacBook Pro",
    "category": "Electronics",
    "price": 3000000
})

# Create an Order (Denormalized fields are auto-filled)
new_order = crud.create_order(db, {
    "user_id": "U_001",
    "product_id": "P1001",
    "quantity": 1,
    "total_amount": 3000000
})

# Commit and close
db.close()
"""
# Its section 7.
COUNT = """
from sesacctl.database.database import engine
from sqlalchemy import text
with engine.connect() as conn:
    result = conn.execute(text('SELECT COUNT(*) FROM users'))
    print(f'유저 수: {result.fetchone()[0]:,}')
"""


@pytest.fixture
def session(settings: Settings) -> Iterator[Session]:
    engine = database.engine_for(settings, command="test")
    with Session(engine) as opened:
        yield opened
    engine.dispose()


@pytest.fixture
def shop(session: Session) -> Session:
    """A session on a database with a user and a product."""
    crud.create_user(session, {"user_id": "U1", "name": "홍길동", "gender": "M", "age": 34, "address": "서울 강남구"})
    crud.create_product(session, {"product_id": "P1", "name": "노트북", "category": "전자제품", "price": 1_000})
    return session


def run(code: str, environment: dict[str, str]) -> str:
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_seed_guide_s_code_runs_unchanged(session: Session, environment: dict[str, str]) -> None:
    run(GUIDE, environment)
    assert "유저 수: 1" in run(COUNT, environment)
    [order] = crud.list_orders(session)
    assert (order.user_id, order.product_id, order.quantity, order.total_amount) == ("U_001", "P1001", 1, 3_000_000)
    assert (order.category, order.user_region, order.user_gender, order.user_age_group) == (
        "Electronics",
        "Seoul",
        "M",
        "30대",
    )


def test_rows_can_be_read_after_the_session(settings: Settings) -> None:
    engine = database.engine_for(settings, command="test")
    with Session(engine) as session:
        user = crud.create_user(session, {"user_id": "U1", "name": "홍길동"})
    assert (user.user_id, user.created_at.tzinfo is not None) == ("U1", True)
    engine.dispose()


@pytest.mark.usefixtures("shop")
def test_create_commits(settings: Settings) -> None:
    engine = database.engine_for(settings, command="test")
    with Session(engine) as other:
        assert crud.get_user(other, "U1") is not None
        assert crud.get_product(other, "P1") is not None
        assert crud.get_order(other, "nothing") is None
    engine.dispose()


def test_an_order_is_completed(shop: Session) -> None:
    order = crud.create_order(shop, {"user_id": "U1", "product_id": "P1", "quantity": 3, "shipping_cost": 50})
    assert (order.total_amount, order.discount_amount, order.category) == (3_050, 0, "전자제품")
    assert crud.get_order(shop, order.order_id) is order


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"user_id": "U2"}, "user_id"),
        ({"product_id": "P2"}, "product_id"),
        ({"user_id": None}, "user_id"),
        ({"quantity": "drei"}, "quantity"),
        ({"quantity": 2**31 - 1}, "total_amount"),
    ],
)
def test_an_invalid_order_is_refused(shop: Session, values: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRow) as caught:
        crud.create_order(shop, {"user_id": "U1", "product_id": "P1", "quantity": 1, **values})
    assert caught.value.field == field
    assert crud.list_orders(shop) == []


@pytest.mark.parametrize(("field", "value"), [("age", 151), ("age", -1), ("age", "abc"), ("name", "가" * 101)])
def test_an_invalid_user_is_refused(session: Session, field: str, value: Any) -> None:
    with pytest.raises(InvalidRow) as caught:
        crud.create_user(session, {"user_id": "U1", "name": "홍길동", field: value})
    assert caught.value.field == field
    assert crud.get_user(session, "U1") is None


def test_the_longest_values_fit(session: Session) -> None:
    user = crud.create_user(session, {"user_id": "가" * 50, "name": "나" * 100, "region": "다" * 50, "age": 150})
    assert (len(user.user_id), len(user.name), user.age_group) == (50, 100, "150대")


def test_an_id_that_is_taken(shop: Session) -> None:
    with pytest.raises(InvalidRow, match="user_id: is taken"):
        crud.create_user(shop, {"user_id": "U1", "name": "다른 사람"})
    assert crud.create_user(shop, {"user_id": "U2", "name": "다른 사람"}).name == "다른 사람"


def test_lists_go_by_key(session: Session) -> None:
    for number in range(25):
        crud.create_user(session, {"user_id": f"U{number:02d}", "name": "이름"})
        crud.create_product(session, {"product_id": f"P{number:02d}", "name": "상품", "price": 1})
    first = [user.user_id for user in crud.list_users(session, limit=10)]
    assert first == [f"U{number:02d}" for number in range(10)]
    assert [user.user_id for user in crud.list_users(session, after=first[-1], limit=2)] == ["U10", "U11"]
    assert [product.product_id for product in crud.list_products(session, after="P22")] == ["P23", "P24"]


def test_updates(shop: Session) -> None:
    user = crud.update_user(shop, "U1", {"age": 41, "address": "부산 해운대구"})
    assert (user.age_group, user.region, user.name) == ("40대", "부산", "홍길동")
    assert crud.update_product(shop, "P1", {"price": 900, "stock": 3}).price == 900
    order = crud.create_order(shop, {"user_id": "U1", "product_id": "P1", "quantity": 1})
    assert crud.update_order(shop, order.order_id, {"status": "배송중"}).status == "배송중"
    with pytest.raises(InvalidRow, match="quantity: cannot be changed"):
        crud.update_order(shop, order.order_id, {"quantity": 2})
    with pytest.raises(NotFound, match="user_id: there is no user 'U9'"):
        crud.update_user(shop, "U9", {"age": 3})


def test_deletes_where_the_schema_allows_it(shop: Session) -> None:
    order = crud.create_order(shop, {"user_id": "U1", "product_id": "P1", "quantity": 1})
    for delete, key in ((crud.delete_user, "U1"), (crud.delete_product, "P1")):
        with pytest.raises(InvalidRow, match="still referenced from table"):
            delete(shop, key)
    crud.delete_order(shop, order.order_id)
    crud.delete_user(shop, "U1")
    crud.delete_product(shop, "P1")
    assert (crud.list_users(shop), crud.list_products(shop), crud.list_orders(shop)) == ([], [], [])


def changes(session: Session) -> list[tuple[str, int, str]]:
    """What `audit` reads."""
    return [tuple(row) for row in session.execute(text("SELECT table_name, change, reason FROM row_changes"))]


def test_a_delete_is_recorded_in_its_own_transaction(shop: Session) -> None:
    with pytest.raises(NotFound):
        crud.delete_order(shop, "nothing")
    order = crud.create_order(shop, {"user_id": "U1", "product_id": "P1", "quantity": 1})
    with pytest.raises(InvalidRow, match="still referenced from table"):
        crud.delete_user(shop, "U1")
    assert changes(shop) == []
    crud.delete_order(shop, order.order_id)
    crud.delete_user(shop, "U1")
    crud.delete_product(shop, "P1")
    assert changes(shop) == [("orders", -1, "crud"), ("users", -1, "crud"), ("products", -1, "crud")]


def test_a_concurrent_delete_is_recorded_only_once(shop: Session, settings: Settings) -> None:
    user = crud.get_user(shop, "U1")
    engine = database.engine_for(settings, command="test")
    with Session(engine) as other:
        crud.delete_user(other, "U1")
    engine.dispose()
    assert user is not None, "the session still knows it"
    with pytest.raises(NotFound, match="user_id: there is no user 'U1'"):
        crud.delete_user(shop, "U1")
    assert changes(shop) == [("users", -1, "crud")]


DELETES_IN_A_SCOPE = """
from sesacctl.database import crud, database
from sesacctl.errors import InvalidRow
try:
    with database.session_scope() as session:
        crud.delete_product(session, "P1")
        raise KeyError
except KeyError:
    pass
with database.session_scope() as session:
    crud.create_order(session, {"order_id": "O1", "user_id": "U1", "product_id": "P1", "quantity": 1})
    for delete, key in ((crud.delete_user, "U1"), (crud.delete_order, "O1")):
        try:
            delete(session, key)
        except InvalidRow as error:
            print(error.field)
"""


def test_a_rolled_back_delete_is_not_recorded(shop: Session, environment: dict[str, str]) -> None:
    assert run(DELETES_IN_A_SCOPE, environment) == "user_id\n"
    assert changes(shop) == [("orders", -1, "crud")]


SCOPE = """
from sesacctl.database import crud, database
from sesacctl.errors import InvalidRow
try:
    with database.session_scope() as session:
        crud.create_user(session, {"user_id": "lost", "name": "n"})
        raise KeyError
except KeyError:
    pass
with database.session_scope() as session:
    crud.create_user(session, {"user_id": "kept", "name": "n"})
    try:
        crud.create_user(session, {"user_id": "kept", "name": "n"})
    except InvalidRow as error:
        print(error.field)
    crud.create_user(session, {"user_id": "kept too", "name": "n"})
"""


def test_a_scope_commits_everything_or_nothing(session: Session, environment: dict[str, str]) -> None:
    assert run(SCOPE, environment) == "user_id\n"
    assert [user.user_id for user in crud.list_users(session)] == ["kept", "kept too"]


def test_the_guides_manual_reset_works_in_any_time_zone(shop: Session) -> None:
    shop.execute(text("SET TIME ZONE 'Asia/Seoul'"))
    shop.execute(text("UPDATE users SET last_cached_at = NOW()"))
    shop.execute(text("SET TIME ZONE 'America/New_York'"))
    age = shop.execute(text("SELECT extract(epoch FROM now() - last_cached_at) FROM users")).scalar_one()
    assert abs(age) < 60


HERS = {"user_id": "hers", "name": "n"}


def begin(session: Session) -> None:
    """A transaction that the caller has opened."""
    session.begin()


def add(session: Session) -> None:
    """An object that waits to be written, and that no query writes by itself."""
    session.autoflush = False
    session.add(User(user_id="mine", name="n"))


def write(session: Session) -> None:
    """A statement of the caller's own, past the session's objects."""
    session.execute(text("INSERT INTO users (user_id, name) VALUES ('mine', 'n')"))


def lock(session: Session) -> None:
    """A row that the caller wants to keep locked."""
    session.execute(text("SELECT FROM users WHERE user_id = 'U1' FOR UPDATE"))


def savepoint(session: Session) -> None:
    """A savepoint in a transaction that began by itself."""
    session.begin_nested()


@pytest.mark.parametrize("work", [begin, add, write, lock, savepoint])
def test_a_caller_s_transaction_is_the_caller_s_to_end(shop: Session, work: Callable[[Session], None]) -> None:
    shop.rollback()
    work(shop)
    crud.create_user(shop, HERS)
    shop.rollback()
    assert [user.user_id for user in crud.list_users(shop)] == ["U1"]
    shop.rollback()
    work(shop)
    with pytest.raises(InvalidRow):
        crud.create_user(shop, {"user_id": "U1", "name": "taken"})
    crud.create_user(shop, HERS)
    shop.commit()
    shop.commit()  # that of the transaction, after that of the savepoint
    assert {"U1", "hers"} <= {user.user_id for user in crud.list_users(shop)}


def test_calls_under_begin_commit_at_its_end(settings: Settings) -> None:
    engine = database.engine_for(settings, command="test")
    maker = sessionmaker(engine)
    with maker.begin() as session:
        crud.create_user(session, HERS)
        crud.update_user(session, "hers", {"age": 30})
    with maker() as session:
        user = crud.get_user(session, "hers")
        assert user is not None
        assert user.age == 30
    engine.dispose()


def test_a_committing_call_ends_its_transaction_and_expires_rows(shop: Session, settings: Settings) -> None:
    seen = crud.get_user(shop, "U1")
    assert seen is not None
    engine = database.engine_for(settings, command="test")
    with Session(engine) as other:
        crud.update_user(other, "U1", {"name": "새 이름"})
    engine.dispose()
    product = crud.update_product(shop, "P1", {"price": 7})
    assert not shop.in_transaction()
    assert product.price == 7
    assert not shop.in_transaction(), "what was returned is loaded"
    assert seen.name == "새 이름"


def test_models_can_be_used_directly(session: Session) -> None:
    session.add(User(user_id="U7", name="직접"))
    session.commit()
    assert crud.get_user(session, "U7") is not None
