"""An instance's way to PostgreSQL: one connection, made again while there is none."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import psycopg2

from sesacctl.database.connections import connect, require_writable, to_sesacctl_error
from sesacctl.database.refusals import by_user_code
from sesacctl.database.user_code import failing_function
from sesacctl.pipeline.consume.status import Timer
from sesacctl.pipeline.sink.measures import Measures
from sesacctl.pipeline.sink.sqlstates import Failure, classify
from sesacctl.pipeline.sink.store import Sink
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions

logger = logging.getLogger(__name__)


BROKEN_SECONDS = 60.0
"""What a function of the user's own runs into may pass, such as a lock; not for longer."""
# The server's state, which comes up wherever it was at work.
_OF_THE_SERVER = ("53", "57")


class PostgresLink:
    """`sink` is None while there is no connection; `away_since` (monotonic) is when it was first missed."""

    def __init__(self, settings: Settings, measures: Measures, checkpoint: Callable[[str], None]) -> None:
        self._settings = settings
        self._measures = measures
        self._checkpoint = checkpoint
        self._trying = Timer(1.0)
        self.sink: Sink | None = None
        self.away_since: float | None = None
        self._broken_since: float | None = None

    def reconnect(self) -> bool:
        """Whether there is a connection now; tried at most once a second.

        Raises:
            SesacctlError: why there is none.
        """
        if not self._trying.due():
            return False
        self.away_since = self.away_since or time.monotonic()
        connection = connect(self._settings, command="consume")
        try:
            require_writable(connection, self._settings)
        except BaseException:
            _close(connection)
            raise
        self.sink = Sink(
            connection,
            group=self._settings.kafka_group,
            zone=self._settings.event_timezone,
            measures=self._measures,
            checkpoint=self._checkpoint,
        )
        self.away_since = None
        return True

    def give_up(self, error: psycopg2.Error) -> str:
        """Close the connection after an error of the server's; its text.

        Raises:
            SesacctlError: waiting would not help.
            psycopg2.Error: waiting would not help.
        """
        if classify(error) is not Failure.INFRA:
            raise to_sesacctl_error(error, self._settings) or error
        if failing_function(error) and (error.pgcode or "")[:2] not in _OF_THE_SERVER:
            self._broken_since = self._broken_since or time.monotonic()
            if time.monotonic() - self._broken_since > BROKEN_SECONDS:
                raise by_user_code(error, self._settings)
        self.close()
        return " ".join(str(error).split())

    def note_stored(self) -> None:
        """A step was stored: whatever failed before has passed."""
        self._broken_since = None

    def close(self) -> None:
        """Close the connection, if there is one."""
        sink, self.sink = self.sink, None
        self.away_since = self.away_since or time.monotonic()
        if sink is not None:
            _close(sink.connection)


def _close(connection: extensions.connection) -> None:
    try:
        connection.close()
    except psycopg2.Error as error:
        logger.debug("closing: %s", error, extra={"action": "consume.disconnect"})
