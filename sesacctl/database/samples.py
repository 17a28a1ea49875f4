"""Made-up users and products with Korean names, drawn from `people.toml` and `products.toml`.

Every table is spread over 1,024 slots, so that ten random bits pick an entry: a row takes one or two microseconds.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from random import Random
from typing import Any, TypeVar

from sesacctl.events import uuid7

USER_COLUMNS = ("user_id", "name", "gender", "age", "age_group", "region", "join_date")
PRODUCT_COLUMNS = ("product_id", "name", "category", "brand", "price", "org_price", "discount_rate", "stock")
# Fixed, so that the same seed makes the same rows on any day; the days span 2,048 of them.
FIRST_JOIN_DATE = dt.date(2020, 1, 1)
_SLOTS = 1024
_DAYS = 2048

T = TypeVar("T")
UserRow = tuple[str, str, str, int, str, str, str]
ProductRow = tuple[str, str, str, str, int, int, float, int]


@dataclass(frozen=True, slots=True)
class _People:
    families: Sequence[str]
    # Age, age group, and the given names of that generation's men and women.
    ages: Sequence[tuple[int, str, tuple[Sequence[str], Sequence[str]]]]
    regions: Sequence[str]
    join_dates: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Goods:
    # Category, its brands and options, item, lowest list price and the width of a price slot.
    items: Sequence[tuple[str, Sequence[str], Sequence[str], str, int, float]]
    discounts: Sequence[int]


def _spread(weights: Mapping[T, int]) -> list[T]:
    """The keys in 1,024 slots, each in as many as its weight asks for."""
    total, passed, slots = sum(weights.values()), 0, list[T]()
    for key, weight in weights.items():
        passed += weight
        slots += [key] * (round(passed * _SLOTS / total) - len(slots))
    return slots


def _cycle(values: Sequence[T]) -> list[T]:
    """The values in 1,024 slots, in turn."""
    return [values[slot % len(values)] for slot in range(_SLOTS)]


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files("sesacctl.database").joinpath(name).read_text(encoding="utf-8"))


@cache
def _people() -> _People:
    data = _read("people.toml")
    generations = [(names["from"], (_cycle(names["M"]), _cycle(names["F"]))) for names in data["given_names"]]
    decades = _spread({int(decade): weight for decade, weight in data["ages"].items()})
    ages = []
    for slot, decade in enumerate(decades):
        age = max(decade + slot % 10, 14)
        names = next(names for first, names in reversed(generations) if age >= first)
        ages.append((age, f"{decade}대", names))
    days = [(FIRST_JOIN_DATE + dt.timedelta(days=day)).isoformat() for day in range(_DAYS)]
    return _People(_spread(data["family_names"]), ages, _spread(data["regions"]), days)


@cache
def _goods() -> _Goods:
    data = _read("products.toml")
    items = [
        (category["name"], _cycle(category["brands"]), _cycle(category["options"]), item, low, (high - low) / _SLOTS)
        for category in data["categories"]
        for item, (low, high) in category["items"].items()
    ]
    return _Goods(_cycle(items), _spread({int(rate): weight for rate, weight in data["discounts"].items()}))


def user_row(random: Random, user_id: str) -> UserRow:
    """The values of `USER_COLUMNS`, the date as ISO text."""
    people, bits = _people(), random.getrandbits(52)
    age, age_group, names = people.ages[bits & 1023]
    woman = bits >> 10 & 1
    name = people.families[bits >> 11 & 1023] + names[woman][bits >> 21 & 1023]
    region, joined = people.regions[bits >> 31 & 1023], people.join_dates[bits >> 41]
    return user_id, name, "MF"[woman], age, age_group, region, joined


def product_row(random: Random, product_id: str) -> ProductRow:
    """The values of `PRODUCT_COLUMNS`."""
    goods, bits = _goods(), random.getrandbits(72)
    category, brands, options, item, low, step = goods.items[bits & 1023]
    brand, option = brands[bits >> 10 & 1023], options[bits >> 20 & 1023]
    discount = goods.discounts[bits >> 30 & 1023]
    list_price = int(low + step * (bits >> 40 & 1023)) // 100 * 100
    model = bits >> 50 & 8191
    name = f"{brand} {item} {'ABCDEFGH'[model >> 10]}{model & 1023:03d} {option}"
    price = list_price * (100 - discount) // 1000 * 10
    return product_id, name, category, brand, price, list_price, float(discount), bits >> 63


def make_user(random: Random, *, user_id: str | None = None, join_date: dt.date | None = None) -> dict[str, Any]:
    """A user as a dictionary of `USER_COLUMNS`; the id defaults to a new one that no seeded user can have."""
    *values, joined = user_row(random, user_id or f"u_{uuid7()}")
    return dict(zip(USER_COLUMNS, (*values, join_date or dt.date.fromisoformat(joined)), strict=True))


def make_product(random: Random, *, product_id: str | None = None) -> dict[str, Any]:
    """A product as a dictionary of `PRODUCT_COLUMNS`, prices in won, the discount in per cent; ids as `make_user`."""
    return dict(zip(PRODUCT_COLUMNS, product_row(random, product_id or f"p_{uuid7()}"), strict=True))
