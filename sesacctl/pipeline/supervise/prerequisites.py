"""What consumers need before they start: PostgreSQL with the schema, Kafka with the topics, a group of their own."""

from __future__ import annotations

import logging
from threading import Event
from time import monotonic

from sesacctl.broker import groups, topics
from sesacctl.database import row_security
from sesacctl.database.connections import transaction
from sesacctl.database.schema import revisions
from sesacctl.database.user_code import require_no_rules
from sesacctl.errors import DatabaseMissing, SchemaNotAtHead, ServerUnreachable, SesacctlError, TopicMissing
from sesacctl.events import CODECS
from sesacctl.pipeline.sink import offsets
from sesacctl.pipeline.supervise.background import BackgroundPoll
from sesacctl.settings import Settings

logger = logging.getLogger(__name__)

_WAITED_FOR = (ServerUnreachable, DatabaseMissing, SchemaNotAtHead, TopicMissing)
_OWN = (offsets.TABLE, "dead_letters", "parked_events", "log_cuts")
_EVERY_SECONDS = 1.0
_TICK_SECONDS = 0.1


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


def wait(settings: Settings, *, seconds: float, stop: Event) -> bool:
    """Return True when everything is there, False when `stop` was set before.

    Raises:
        SesacctlError: what `require` raises: at once what waiting does not fix, the rest after `seconds`.
    """
    deadline, said = monotonic() + seconds, ""
    looks = BackgroundPoll(lambda: _missing(settings), every=_EVERY_SECONDS)
    while not stop.is_set():
        found = looks.answer()
        if found == []:
            return True
        for error in found or []:
            if monotonic() >= deadline:
                raise error
            if str(error) != said:
                logger.info("waiting: %s", error, extra={"action": "consume.waiting"})
                said = str(error)
        stop.wait(_TICK_SECONDS)
    return False


def _missing(settings: Settings) -> list[SesacctlError]:
    """The first thing that is missing and may come; an empty list if nothing is."""
    try:
        require(settings)
    except _WAITED_FOR as error:
        return [error]
    return []
