"""What the cache worker needs before it starts: PostgreSQL with the schema, and Redis."""

from __future__ import annotations

from sesacctl.cache.connections import connect, translate_errors
from sesacctl.database.connections import transaction
from sesacctl.database.schema import revisions
from sesacctl.settings import Settings


def require(settings: Settings) -> None:
    """Return if everything is there. Kafka is not asked: it has no part in a refresh.

    Raises:
        ServerUnreachable: a server cannot be reached.
        ServerRefused: a server refused: wrong credentials or a missing right.
        DatabaseMissing: the server has no such database.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
        ConfigurationError: a setting of the connection is missing or wrong.
    """
    with transaction(settings, command="cache-refresh") as cursor:
        revisions.require_head(cursor.connection)
    redis = connect(settings)
    try:
        with translate_errors(redis):
            redis.ping()
    finally:
        redis.close()
