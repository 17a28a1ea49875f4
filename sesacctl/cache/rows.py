"""The rows in the cache: what `JSON.parse` of a hash value returns. Times and dates are ISO 8601 text."""

from __future__ import annotations

from typing import Literal, TypedDict

Table = Literal["users", "products"]
TABLES: tuple[Table, ...] = ("users", "products")
SIZE, FRESH = 1000, 500
"""Rows of a table that a refresh caches, and how many of them are kept for rows never cached before."""


class UserRow(TypedDict):
    """A user as it was when it was cached; the first column is the key of `cache:users`."""

    user_id: str
    name: str
    gender: str | None
    age: int | None
    age_group: str | None
    region: str | None
    join_date: str | None
    created_at: str


class ProductRow(TypedDict):
    """A product as it was when it was cached, prices in won; the first column is the key of `cache:products`."""

    product_id: str
    name: str
    category: str | None
    brand: str | None
    price: int
    org_price: int | None
    discount_rate: float | None
    stock: int | None
    created_at: str


COLUMNS: dict[Table, tuple[str, ...]] = {
    "users": tuple(UserRow.__annotations__),
    "products": tuple(ProductRow.__annotations__),
}
