"""Orders that look like a shop's: who buys what, when, how much of it and how it is paid, from `shop.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from importlib import resources
from itertools import accumulate
from random import Random
from typing import Any

from sesacctl.cache.rows import ProductRow, UserRow
from sesacctl.events import INT4_MAX, Order, uuid7

KOREA = timezone(timedelta(hours=9))  # no daylight saving time since 1988
_AT_ONCE = 512


@cache
def shop() -> dict[str, Any]:
    """The weights of `shop.toml`."""
    return tomllib.loads(resources.files("sesacctl.pipeline").joinpath("shop.toml").read_text(encoding="utf-8"))


class _Choice:
    """Weighted draws from a fixed population, prepared once and drawn in bulk."""

    def __init__(self, random: Random, weights: Mapping[Any, float]) -> None:
        self._random = random
        self._population = list(weights)
        self._cumulative = list(accumulate(weights.values()))
        self._drawn: list[Any] = []

    def draw(self) -> Any:
        if not self._drawn:
            self._drawn = self._random.choices(self._population, cum_weights=self._cumulative, k=_AT_ONCE)
        return self._drawn.pop()


class OrderMaker:
    """Makes carts of orders from the cached rows; with the same seed and rows the same but for ids and times."""

    def __init__(
        self,
        *,
        random: Random,
        lines: tuple[int, int] = (1, 1),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`lines` are the fewest and the most orders of one cart."""
        self._random = random
        self._lines = lines
        self._now = now
        tables = shop()
        self._payment = _Choice(random, tables["payment_methods"])
        self._status = _Choice(random, tables["statuses"])
        self._quantity = _Choice(random, {int(n): weight for n, weight in tables["quantities"].items()})
        self._coupon = _Choice(random, {int(n): weight for n, weight in tables["coupons"].items()})
        self._rows: tuple[Sequence[UserRow], Sequence[ProductRow]] = ((), ())
        self._users: _Choice | None = None
        self._segments: dict[tuple[str | None, str | None, int], _Choice] = {}

    def use(self, users: Sequence[UserRow], products: Sequence[ProductRow]) -> None:
        """Draw from these rows from now on; the same objects again cost nothing. Neither may be empty."""
        if users is self._rows[0] and products is self._rows[1]:
            return
        self._rows = (users, products)
        ages, genders = shop()["age_groups"], shop()["genders"]
        weights = [ages.get(user["age_group"], 1) * genders.get(user["gender"], 1) for user in users]
        self._users = _Choice(self._random, dict(zip(range(len(users)), weights, strict=True)))
        self._segments = {}

    def cart(self) -> list[Order]:
        """The orders of one user at one moment."""
        assert self._users is not None, "call `use` first"
        user = self._rows[0][self._users.draw()]
        at = self._now()
        lines = self._random.randint(*self._lines) if self._lines[0] < self._lines[1] else self._lines[0]
        products = self._segment(user, at.astimezone(KOREA).hour)
        payment, status = self._payment.draw(), self._status.draw()
        orders = [self._line(user, self._rows[1][products.draw()], at, payment, status) for _ in range(lines)]
        shipping = shop()["shipping"]
        if sum(order.total_amount for order in orders) < shipping["free_from"]:
            orders[0].shipping_cost = shipping["fee"]
            orders[0].total_amount += shipping["fee"]
        return orders

    def _line(self, user: UserRow, product: ProductRow, at: datetime, payment: str, status: str) -> Order:
        price = product["price"]
        quantity = self._quantity.draw()
        if price * quantity > INT4_MAX:
            quantity = 1
        discount = min(self._coupon.draw(), price * quantity // 3)
        return Order(
            order_id=uuid7(),
            user_id=user["user_id"],
            product_id=product["product_id"],
            quantity=quantity,
            total_amount=price * quantity - discount,
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

    def _segment(self, user: UserRow, hour: int) -> _Choice:
        segment = (user["age_group"], user["gender"], hour)
        if segment not in self._segments:
            appeal = {category: _appeal(weights, *segment) for category, weights in shop()["categories"].items()}
            rows = enumerate(self._rows[1])
            self._segments[segment] = _Choice(
                self._random, {index: appeal.get(product["category"], 1.0) for index, product in rows}
            )
        return self._segments[segment]


def _appeal(weights: Mapping[str, Any], age_group: str | None, gender: str | None, hour: int) -> float:
    """How much a category sells to a segment of users at an hour."""
    return float(
        weights["base"]
        * weights.get("age_groups", {}).get(age_group, 1)
        * weights.get("genders", {}).get(gender, 1)
        * weights.get("hours", {}).get(str(hour), 1)
    )
