"""What a producer needs before it starts: users and products in the cache, and Kafka with the topics."""

from __future__ import annotations

from sesacctl.broker import topics
from sesacctl.cache.client import CacheReader, connect
from sesacctl.settings import Settings


def require(settings: Settings) -> None:
    """Return if everything is there. PostgreSQL is not asked: orders are made from the cache alone.

    Raises:
        CacheEmpty: there are no users or no products in the cache.
        ServerUnreachable: a server cannot be reached.
        ServerRefused: a server refused: wrong credentials or a missing right.
        TopicMissing: one of the topics does not exist.
        ConfigurationError: a setting of the connection is missing or wrong.
    """
    redis = connect(settings)
    try:
        reader = CacheReader(redis)
        reader.users()
        reader.products()
    finally:
        redis.close()
    topics.require(settings)
