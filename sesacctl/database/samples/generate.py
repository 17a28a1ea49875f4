"""Made-up users and products with Korean names, drawn from `people.toml` and `products.toml`.

Whatever has weights is spread over 65,536 slots, so that two random bytes pick an entry: a row takes a microsecond.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from random import Random
from typing import Any, TypeVar

from sesacctl.events import uuid7

USER_COLUMNS = ("user_id", "name", "gender", "age", "age_group", "region", "join_date")
PRODUCT_COLUMNS = ("product_id", "name", "category", "brand", "price", "org_price", "discount_rate", "stock")
# Fixed, so that the same seed makes the same rows on any day.
FIRST_JOIN_DATE, LAST_JOIN_DATE = dt.date(2020, 1, 1), dt.date(2025, 12, 31)
YOUNGEST = 14
_SLOTS = 1 << 16
_MAX_STOCK = 512

T = TypeVar("T")
UserRow = tuple[str, str, str, int, str, str, str]
ProductRow = tuple[str, str, str, str, int, int, float, int]


@dataclass(frozen=True, slots=True)
class _People:
    families: Sequence[str]
    # Gender, age, age group, and the given names of that gender and generation.
    persons: Sequence[tuple[str, int, str, Sequence[str]]]
    regions: Sequence[str]
    join_dates: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Goods:
    # Category, its brands and options, item, its lowest list price and the range above it.
    items: Sequence[tuple[str, Sequence[str], Sequence[str], str, int, int]]
    models: Sequence[str]
    discounts: Sequence[int]


def _spread(weights: Mapping[T, int]) -> list[T]:
    """The keys in all slots, each in as many as its weight asks for."""
    total, passed, slots = sum(weights.values()), 0, list[T]()
    for key, weight in weights.items():
        passed += weight
        slots += [key] * (round(passed * _SLOTS / total) - len(slots))
    return slots


def _read(name: str) -> dict[str, Any]:
    return tomllib.loads(resources.files("sesacctl.database.samples").joinpath(name).read_text(encoding="utf-8"))


@cache
def _people() -> _People:
    data = _read("people.toml")
    persons: dict[tuple[str, int, str, Sequence[str]], int] = {}
    for decade, weight in data["ages"].items():
        for age in range(max(int(decade), YOUNGEST), int(decade) + 10):
            generation = next(names for names in reversed(data["given_names"]) if age >= names["from"])
            for gender in ("M", "F"):
                persons[gender, age, f"{decade}대", tuple(generation[gender])] = weight
    days = (LAST_JOIN_DATE - FIRST_JOIN_DATE).days + 1
    dates = [(FIRST_JOIN_DATE + dt.timedelta(days=day)).isoformat() for day in range(days)]
    return _People(_spread(data["family_names"]), _spread(persons), _spread(data["regions"]), dates)


@cache
def _goods() -> _Goods:
    data = _read("products.toml")
    items = [
        (category["name"], category["brands"], category["options"], item, low, high - low)
        for category in data["categories"]
        for item, (low, high) in category["items"].items()
    ]
    models = [f"{letter}{number:03d}" for letter in "ABCDEFGH" for number in range(1_000)]
    return _Goods(items, models, _spread({int(rate): weight for rate, weight in data["discounts"].items()}))


def user_rows(random: Random, ids: Sequence[str]) -> Iterator[UserRow]:
    """A row of `USER_COLUMNS` for each id, the date as ISO text."""
    people = _people()
    dates, days = people.join_dates, len(people.join_dates)
    for user_id, family, person, region, given, day in zip(
        ids,
        map(people.families.__getitem__, _draws(random, ids)),
        map(people.persons.__getitem__, _draws(random, ids)),
        map(people.regions.__getitem__, _draws(random, ids)),
        _draws(random, ids),
        _draws(random, ids),
        strict=True,
    ):
        gender, age, age_group, names = person
        yield user_id, family + names[given % len(names)], gender, age, age_group, region, dates[day % days]


def product_rows(random: Random, ids: Sequence[str]) -> Iterator[ProductRow]:
    """A row of `PRODUCT_COLUMNS` for each id."""
    goods = _goods()
    items, models, discounts = goods.items, goods.models, goods.discounts
    for product_id, kind, which, model, price, cut, stock in zip(
        ids, *(_draws(random, ids) for _ in range(6)), strict=True
    ):
        category, brands, options, item, low, span = items[kind % len(items)]
        brand, option, discount = brands[which % len(brands)], options[which // 64 % len(options)], discounts[cut]
        list_price = (low + span * price // _SLOTS) // 100 * 100
        name = f"{brand} {item} {models[model % len(models)]} {option}"
        net = list_price * (100 - discount) // 1000 * 10
        yield product_id, name, category, brand, net, list_price, float(discount), stock % _MAX_STOCK


def _draws(random: Random, ids: Sequence[str]) -> array[int]:
    """A slot for each id."""
    return array("H", random.randbytes(2 * len(ids)))


def make_user(random: Random, *, user_id: str | None = None, join_date: dt.date | None = None) -> dict[str, Any]:
    """A user as a dictionary of `USER_COLUMNS`; the id defaults to a new one that no seeded user can have."""
    [(*values, joined)] = user_rows(random, [user_id or f"u_{uuid7()}"])
    return dict(zip(USER_COLUMNS, (*values, join_date or dt.date.fromisoformat(joined)), strict=True))


def make_product(random: Random, *, product_id: str | None = None) -> dict[str, Any]:
    """A product as a dictionary of `PRODUCT_COLUMNS`, prices in won, the discount in per cent; ids as `make_user`."""
    [row] = product_rows(random, [product_id or f"p_{uuid7()}"])
    return dict(zip(PRODUCT_COLUMNS, row, strict=True))
