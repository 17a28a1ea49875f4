"""What consumers need before they start: PostgreSQL with the schema, Kafka with the topics, a group of their own."""

from __future__ import annotations

from sesacctl.broker import groups, topics
from sesacctl.database import row_security
from sesacctl.database.connections import transaction
from sesacctl.database.schema import revisions
from sesacctl.database.user_code import require_no_rules
from sesacctl.events import CODECS
from sesacctl.pipeline.sink import offsets
from sesacctl.settings import Settings

_OWN = (offsets.TABLE, "dead_letters", "parked_events", "log_cuts")


def require(settings: Settings) -> None:
    """Return if everything is there.

    Raises:
        ConfigurationError: a setting of the connection is missing or wrong.
        ServerUnreachable: a server cannot be reached.
        ServerRefused: a server refused: wrong credentials or a missing right.
        DatabaseMissing: the server has no such database.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
        TopicMissing: one of the topics does not exist.
        GroupShared: another application is in the consumer group.
    """
    with transaction(settings, command="consume") as cursor:
        revisions.require_head(cursor.connection)
        row_security.require_all(cursor, tuple(CODECS), ("SELECT", "INSERT"))
        row_security.require_all(cursor, _OWN)
        require_no_rules(cursor, tuple(CODECS))
    topics.require(settings)
    groups.require_own(settings)
