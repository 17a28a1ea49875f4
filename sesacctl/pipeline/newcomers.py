"""New users and products, so that the cache's ageing has newcomers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from random import Random

from sesacctl.database import samples
from sesacctl.events import Product, ProductEvent, User, UserEvent
from sesacctl.pipeline.pace import Bucket


class Newcomers:
    """Makes them at a steady pace, with a generator of its own: how many there are depends on the time that passes."""

    def __init__(self, *, users_per_second: float, products_per_second: float, random_seed: int | None) -> None:
        self._random = Random(None if random_seed is None else f"newcomers {random_seed}")
        self._users = Bucket(users_per_second)
        self._products = Bucket(products_per_second)

    def users(self, elapsed: float) -> Iterator[UserEvent]:
        """Those that are due, `elapsed` seconds after the start."""
        now = datetime.now(UTC)
        for _ in range(self._users.due(elapsed)):
            self._users.spend(1)
            yield UserEvent(timestamp=now, user=User(**samples.make_user(self._random), created_at=now))

    def products(self, elapsed: float) -> Iterator[ProductEvent]:
        """Those that are due, `elapsed` seconds after the start."""
        now = datetime.now(UTC)
        for _ in range(self._products.due(elapsed)):
            self._products.spend(1)
            yield ProductEvent(timestamp=now, product=Product(**samples.make_product(self._random), created_at=now))
