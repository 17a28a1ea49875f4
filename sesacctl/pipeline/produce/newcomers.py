"""New users and products, so that the cache's ageing has newcomers."""

from __future__ import annotations

from datetime import UTC, datetime
from random import Random

from sesacctl.database.samples import generate as samples
from sesacctl.events import Product, ProductEvent, User, UserEvent
from sesacctl.pipeline.produce.token_bucket import Bucket


class Newcomers:
    """Makes them at a steady pace, with a generator of its own: how many there are depends on the time that passes."""

    def __init__(self, *, users_per_second: float, products_per_second: float, random_seed: int | None) -> None:
        self._random = Random(None if random_seed is None else f"newcomers {random_seed}")
        self._users = Bucket(users_per_second)
        self._products = Bucket(products_per_second)

    def users(self, elapsed: float, most: int) -> list[UserEvent]:
        """Those that are due, `elapsed` seconds after the start; at most `most`, and the others the next time."""
        now, due = datetime.now(UTC), min(self._users.due(elapsed), most)
        self._users.spend(due)
        rows = [User(**samples.make_user(self._random), created_at=now) for _ in range(due)]
        return [UserEvent(timestamp=now, user=row) for row in rows]

    def products(self, elapsed: float, most: int) -> list[ProductEvent]:
        """Those that are due, `elapsed` seconds after the start; at most `most`, and the others the next time."""
        now, due = datetime.now(UTC), min(self._products.due(elapsed), most)
        self._products.spend(due)
        rows = [Product(**samples.make_product(self._random), created_at=now) for _ in range(due)]
        return [ProductEvent(timestamp=now, product=row) for row in rows]
