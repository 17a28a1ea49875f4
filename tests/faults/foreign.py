"""Events of other applications, by librdkafka: orders in transactions, and messages that nobody should have sent."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import confluent_kafka

from sesacctl.drill import poison
from tests.faults.evidence import FOREIGN, MARK
from tests.faults.site import ORDERS, Site

CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
order = partial(poison.order, prefix=FOREIGN)
hostile = partial(poison.hostile, prefix=FOREIGN)


def producer(site: Site, **options: Any) -> confluent_kafka.Producer:
    """A producer of another application."""
    return confluent_kafka.Producer(
        {"bootstrap.servers": site.address.brokers, "client.id": "foreign", "log_level": 0, **options}
    )


def parents(site: Site) -> tuple[list[str], list[str]]:
    """Ids of some users and products that are there; asked for once, as PostgreSQL may be away later."""
    if site.parents is None:
        users = site.query("SELECT user_id FROM users ORDER BY user_id LIMIT 200")
        products = site.query("SELECT product_id FROM products ORDER BY product_id LIMIT 200")
        site.parents = [row[0] for row in users], [row[0] for row in products]
    return site.parents


class Hostile:
    """Sends hostile messages by producers of all codecs; `flush` at the end."""

    def __init__(self, site: Site, seed: int) -> None:
        self._dice, self._topic = Random(seed), site.topic(ORDERS)
        self._messages = hostile(self._dice, *parents(site))
        self._producers = [producer(site, **{"compression.type": codec, "linger.ms": 50}) for codec in CODECS]

    def send(self, count: int = 1) -> None:
        """Send some."""
        for _ in range(count):
            key, value = next(self._messages)
            headers = [(MARK, b""), *((f"h{n}", dice_bytes(self._dice)) for n in range(self._dice.randrange(3)))]
            chosen = self._dice.choice(self._producers)
            chosen.produce(self._topic, value, key, headers=headers)
            chosen.poll(0)

    def flush(self) -> None:
        """Wait until all are there."""
        for each in self._producers:
            each.flush(60)


def dice_bytes(dice: Random) -> bytes | None:
    """A header's value."""
    return dice.choice((None, b"", dice.randbytes(8)))
