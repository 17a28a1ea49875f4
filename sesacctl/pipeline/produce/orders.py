"""Orders that look like a shop's: who buys what, when, how much of it and how it is paid, from `shop.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from itertools import accumulate
from random import Random
from typing import Any, Generic, TypeVar

from sesacctl.cache.rows import ProductRow, UserRow
from sesacctl.events import INT4_MAX, Order, uuid7

KOREA_HOURS = 9  # ahead of UTC; no daylight saving time since 1988
_AT_ONCE = 512
T = TypeVar("T")


@cache
def shop() -> dict[str, Any]:
    """The weights of `shop.toml`."""
    return tomllib.loads(resources.files("sesacctl.pipeline.produce").joinpath("shop.toml").read_text(encoding="utf-8"))


class _Choice(Generic[T]):
    """Weighted draws from a fixed population, prepared once and drawn in bulk."""

    def __init__(self, random: Random, weights: Iterable[tuple[T, float]]) -> None:
        self._random = random
        self._population, each = zip(*weights, strict=True)
        self._cumulative = list(accumulate(each))
        self._drawn: list[T] = []

    def draw(self) -> T:
        if not self._drawn:
            self._drawn = self._random.choices(self._population, cum_weights=self._cumulative, k=_AT_ONCE)
        return self._drawn.pop()


class OrderMaker:
    """Makes carts of orders from the cached rows.

    With the same seed and rows, and in the same hour of the day, the same orders except for ids and times.
    """

    def __init__(
        self,
        *,
        random: Random,
        lines: tuple[int, int] = (1, 1),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`lines` are the fewest and the most orders of one cart; `now` returns UTC."""
        self._random = random
        self._id_random = Random()
        self._lines = lines
        self._now = now
        tables = shop()
        self._payment = _Choice(random, _payments(tables))
        self._amount = _Choice(
            random,
            [
                ((int(count), int(won)), weight * chance)
                for count, weight in tables["quantities"].items()
                for won, chance in tables["coupons"].items()
            ],
        )
        self._rows: tuple[Sequence[UserRow], Sequence[ProductRow]] = ((), ())
        self._products: Sequence[ProductRow] = ()
        self._different = 0
        self._user: _Choice[UserRow] | None = None
        self._segments: dict[tuple[str | None, str | None, int], _Choice[ProductRow]] = {}

    def use(self, users: Sequence[UserRow], products: Sequence[ProductRow]) -> None:
        """Draw from these rows from now on; the same objects again cost nothing. Neither may be empty."""
        if users is self._rows[0] and products is self._rows[1]:
            return
        self._rows = (users, products)
        ages, genders = shop()["age_groups"], shop()["genders"]
        # Sorted, because Redis may return the same hash in another order.
        by_id = sorted(users, key=lambda user: user["user_id"])
        weights = ((user, ages.get(user["age_group"], 1) * genders.get(user["gender"], 1)) for user in by_id)
        self._user = _Choice(self._random, weights)
        self._products = sorted(products, key=lambda product: product["product_id"])
        self._different = len({product["product_id"] for product in products})
        self._segments = {}

    def cart(self, most: int | None = None) -> list[Order]:
        """The orders of one user at one moment, for different products as long as there are any; at most `most`."""
        assert self._user is not None, "call `use` first"
        user, at = self._user.draw(), self._now()
        fewest, longest = self._lines
        lines = self._random.randint(fewest, longest) if fewest < longest else fewest
        if most is not None and most < lines:
            lines = most
        choice = self._segment(user, (at.hour + KOREA_HOURS) % 24)
        product = choice.draw()
        payment, status = self._payment.draw()
        orders, taken = [self._line(user, product, at, payment, status)], {product["product_id"]}
        while len(orders) < lines:
            product = choice.draw()
            if product["product_id"] not in taken or len(taken) == self._different:
                taken.add(product["product_id"])
                orders.append(self._line(user, product, at, payment, status))
        _ship(orders)
        return orders

    def _line(self, user: UserRow, product: ProductRow, at: datetime, payment: str, status: str) -> Order:
        price = product["price"]
        quantity, coupon = self._amount.draw()
        if price * quantity > INT4_MAX:
            quantity = 1
        goods = price * quantity
        discount = coupon if coupon * 3 <= goods else goods // 3
        return Order(
            order_id=uuid7(self._id_random.getrandbits(62)),
            user_id=user["user_id"],
            product_id=product["product_id"],
            quantity=quantity,
            total_amount=goods - discount,
            shipping_cost=0,
            discount_amount=discount,
            payment_method=payment,
            status=status,
            category=product["category"],
            user_region=user["region"],
            user_gender=user["gender"],
            user_age_group=user["age_group"],
            created_at=at,
        )

    def _segment(self, user: UserRow, hour: int) -> _Choice[ProductRow]:
        segment = (user["age_group"], user["gender"], hour)
        found = self._segments.get(segment)
        if found is None:
            appeal = {category: _appeal(weights, *segment) for category, weights in shop()["categories"].items()}
            weights = ((product, appeal.get(product["category"], 1.0)) for product in self._products)
            found = self._segments[segment] = _Choice(self._random, weights)
        return found


def _ship(orders: list[Order]) -> None:
    """Charge the shipping of a cart to its first order."""
    rules, first = shop()["shipping"], orders[0]
    cost = rules["surcharges"].get(first.user_region, 0)
    if sum([order.total_amount for order in orders]) < rules["free_from"]:
        cost += rules["fee"]
    if cost and first.total_amount + cost <= INT4_MAX:
        first.shipping_cost = cost
        first.total_amount += cost


def _payments(tables: dict[str, Any]) -> list[tuple[tuple[str, str], float]]:
    """Payment method and status together: what is paid later waits for its payment more often."""
    pairs = []
    for payment, weight in tables["payment_methods"].items():
        statuses = tables["statuses_of"].get(payment, tables["statuses"])
        total = sum(statuses.values())
        pairs += [((payment, status), weight * chance / total) for status, chance in statuses.items()]
    return pairs


def _appeal(weights: dict[str, Any], age_group: str | None, gender: str | None, hour: int) -> float:
    """How much a category sells to a segment of users at an hour."""
    return float(
        weights["base"]
        * weights.get("age_groups", {}).get(age_group, 1)
        * weights.get("genders", {}).get(gender, 1)
        * weights.get("hours", {}).get(str(hour), 1)
    )
