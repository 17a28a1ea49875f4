"""Orders: amounts that add up, the rules of the shop, its weights, and the same orders for the same seed."""

from __future__ import annotations

import tomllib
from collections import Counter
from datetime import UTC, datetime
from importlib import resources
from random import Random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sesacctl.cache.rows import ProductRow, UserRow
from sesacctl.events import CODECS, INT4_MAX, ORDERS, Order, OrderEvent, encode
from sesacctl.pipeline.produce.orders import OrderMaker, shop

NOON_IN_KOREA = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


def user(number: int = 1, **values: Any) -> UserRow:
    row: UserRow = {
        "user_id": f"u{number:04}", "name": "홍길동", "gender": "F", "age": 34, "age_group": "30대", "region": "서울",
        "join_date": None, "created_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    row.update(values)  # type: ignore[typeddict-item]
    return row


def product(number: int = 1, **values: Any) -> ProductRow:
    row: ProductRow = {
        "product_id": f"p{number:04}", "name": "이어폰", "category": "전자제품", "brand": None, "price": 30_000,
        "org_price": None, "discount_rate": None, "stock": None, "created_at": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    row.update(values)  # type: ignore[typeddict-item]
    return row


def maker(
    users: list[UserRow], products: list[ProductRow], *, seed: int = 1, lines: tuple[int, int] = (1, 1),
    at: datetime = NOON_IN_KOREA,
) -> OrderMaker:  # fmt: skip
    made = OrderMaker(random=Random(seed), lines=lines, now=lambda: at)
    made.use(users, products)
    return made


def orders(made: OrderMaker, count: int) -> list[Order]:
    found: list[Order] = []
    while len(found) < count:
        found += made.cart()
    return found[:count]


@given(
    prices=st.lists(st.integers(0, INT4_MAX), min_size=1, max_size=5),
    region=st.sampled_from(["서울", "제주", None]),
    lines=st.tuples(st.integers(1, 6), st.integers(0, 6)).map(lambda pair: (pair[0], pair[0] + pair[1])),
    seed=st.integers(0, 1000),
)
def test_amounts_always_add_up_and_fit(
    prices: list[int], region: str | None, lines: tuple[int, int], seed: int
) -> None:
    catalogue = {f"p{number:04}": price for number, price in enumerate(prices)}
    rows = [product(number, price=price) for number, price in enumerate(prices)]
    made = maker([user(region=region)], rows, seed=seed, lines=lines)
    for _ in range(20):
        cart = made.cart()
        assert lines[0] <= len(cart) <= lines[1]
        for order in cart:
            goods = catalogue[order.product_id] * order.quantity
            assert order.total_amount == goods - order.discount_amount + order.shipping_cost
            assert 0 <= order.discount_amount <= goods // 3
            _, key, value = encode(OrderEvent(timestamp=NOON_IN_KOREA, order=order))
            decoded, unknown = CODECS[ORDERS].decode(key, value, 0)
            assert msgspec.structs.astuple(decoded) == msgspec.structs.astuple(order)
            assert not unknown


def test_a_cart_is_one_user_s_at_one_moment_paid_once() -> None:
    made = maker([user(number) for number in range(20)], [product(number) for number in range(50)], lines=(3, 5))
    for _ in range(50):
        cart = made.cart()
        assert len({(order.user_id, order.created_at, order.payment_method, order.status) for order in cart}) == 1
        assert len({order.product_id for order in cart}) == len(cart)
        assert len({order.order_id for order in cart}) == len(cart)


def test_cart_sizes_cover_their_range() -> None:
    made = maker([user()], [product(number) for number in range(50)], lines=(1, 10))
    assert {len(made.cart()) for _ in range(300)} == set(range(1, 11))


def test_a_cart_larger_than_the_catalogue_repeats_a_product() -> None:
    assert len(maker([user()], [product()], lines=(4, 4)).cart()) == 4


def test_a_foreign_cache_that_repeats_an_id_ends_no_cart() -> None:
    assert len(maker([user()], [product(), product()], lines=(4, 4)).cart()) == 4


def test_the_last_cart_is_cut_before_its_shipping_is_charged() -> None:
    [order] = maker([user()], [product(price=30_000)], lines=(5, 5)).cart(most=1)
    assert order.shipping_cost == (3000 if order.total_amount - order.shipping_cost < 50_000 else 0)


@pytest.mark.parametrize(
    ("price", "region", "shipping"),
    [(10_000, "서울", 3000), (1_000_000, "서울", 0), (10_000, "제주", 6000), (1_000_000, "제주", 3000)],
)
def test_shipping_is_free_from_50000_won_and_dearer_to_jeju(price: int, region: str, shipping: int) -> None:
    for _ in range(20):
        cart = maker([user(region=region)], [product(price=price)], lines=(2, 2)).cart()
        assert [order.shipping_cost for order in cart] == [shipping, 0]


def test_an_order_copies_its_user_and_product() -> None:
    [order] = maker([user(gender=None, age_group=None, region=None)], [product(category=None)]).cart()
    assert (order.user_region, order.user_gender, order.user_age_group, order.category) == (None, None, None, None)
    [order] = maker([user()], [product()]).cart()
    assert (order.user_region, order.user_gender, order.user_age_group, order.category) == (
        "서울",
        "F",
        "30대",
        "전자제품",
    )


def strip(order: Order) -> tuple[object, ...]:
    return msgspec.structs.astuple(msgspec.structs.replace(order, order_id="x", created_at=None))


def test_the_same_seed_makes_equal_orders_except_ids_and_times() -> None:
    users = [user(number, gender="MF"[number % 2]) for number in range(100)]
    products = [
        product(number, price=1000 * number, category=list(shop()["categories"])[number % 12]) for number in range(100)
    ]
    first = orders(maker(users, products, lines=(1, 10)), 2000)
    # Redis need not give a hash in the same order twice.
    later = datetime(2026, 12, 24, 3, 59, tzinfo=UTC)
    second = orders(maker(users[::-1], products[::-1], lines=(1, 10), at=later), 2000)
    assert [strip(order) for order in first] == [strip(order) for order in second]
    assert not {order.order_id for order in first} & {order.order_id for order in second}
    other = orders(maker(users, products, seed=2, lines=(1, 10)), 2000)
    assert [strip(order) for order in first] != [strip(order) for order in other]


def test_ids_are_in_the_order_of_making() -> None:
    ids = [order.order_id for order in orders(maker([user()], [product()]), 500)]
    assert len(set(ids)) == 500
    milliseconds = [order_id[:13] for order_id in ids]
    assert milliseconds == sorted(milliseconds)


def share(counts: Counter[Any], one: object, other: object) -> float:
    return counts[one] / counts[other]


def test_the_buyers_follow_age_and_gender() -> None:
    users = [user(0, age_group="30대"), user(1, age_group="70대"), user(2, age_group="30대", gender="M")]
    counts = Counter(order.user_id for order in orders(maker(users, [product()]), 30_000))
    assert share(counts, "u0000", "u0001") == pytest.approx(1.5 / 0.3, rel=0.1)
    assert share(counts, "u0000", "u0002") == pytest.approx(1.15, rel=0.1)


def test_the_products_follow_gender_and_hour() -> None:
    products = [product(0, category="뷰티"), product(1, category="스포츠/레저"), product(2, category="unheard of")]

    def counts(gender: str, utc_hour: int) -> Counter[str]:
        at = datetime(2026, 11, 23, utc_hour, 30, tzinfo=UTC)
        return Counter(order.product_id for order in orders(maker([user(gender=gender)], products, at=at), 20_000))

    women, men = counts("F", 0), counts("M", 0)
    assert share(women, "p0000", "p0002") == pytest.approx(1.2 * 2.5 * 1.3, rel=0.1)
    assert share(men, "p0001", "p0002") == pytest.approx(0.8 * 1.4, rel=0.1)
    evening = counts("F", 13)  # 22:30 in Korea
    assert share(evening, "p0000", "p0002") == pytest.approx(1.2 * 2.5 * 1.3 * 1.4, rel=0.1)


def test_payment_and_status_follow_their_tables() -> None:
    found = orders(maker([user()], [product()]), 40_000)
    payments = Counter(order.payment_method for order in found)
    assert set(payments) == set(shop()["payment_methods"])
    assert share(payments, "신용카드", "네이버페이") == pytest.approx(42 / 20, rel=0.1)
    paid_later = Counter(order.status for order in found if order.payment_method == "무통장입금")
    at_once = Counter(order.status for order in found if order.payment_method == "신용카드")
    assert paid_later["결제대기"] / paid_later.total() == pytest.approx(0.55, abs=0.06)
    assert at_once["결제대기"] / at_once.total() == pytest.approx(0.06, abs=0.02)


def test_a_new_generation_of_the_cache_is_drawn_from_at_once() -> None:
    made = maker([user(1)], [product(1)])
    assert {order.user_id for order in orders(made, 10)} == {"u0001"}
    made.use([user(2)], [product(2)])
    assert {(order.user_id, order.product_id) for order in orders(made, 10)} == {("u0002", "p0002")}


def test_the_data_file_knows_every_category_that_is_seeded() -> None:
    text = resources.files("sesacctl.database.samples").joinpath("products.toml").read_text(encoding="utf-8")
    assert {category["name"] for category in tomllib.loads(text)["categories"]} == set(shop()["categories"])
    people = tomllib.loads(
        resources.files("sesacctl.database.samples").joinpath("people.toml").read_text(encoding="utf-8")
    )
    assert set(shop()["shipping"]["surcharges"]) <= set(people["regions"])


def test_everything_in_the_data_file_fits_its_column() -> None:
    tables = shop()
    statuses = [*tables["statuses"], *(status for each in tables["statuses_of"].values() for status in each)]
    assert all(len(name) <= 20 for name in (*tables["payment_methods"], *statuses))
    assert set(tables["statuses_of"]) <= set(tables["payment_methods"])
    hours = [hour for category in tables["categories"].values() for hour in category.get("hours", {})]
    assert all(0 <= int(hour) < 24 for hour in hours)
