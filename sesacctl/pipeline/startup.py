"""Waiting, at the start of a loop, for what it needs and may come later than itself: servers, schema, topics, rows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from threading import Event
from time import monotonic

from sesacctl.errors import (
    CacheEmpty,
    DatabaseMissing,
    SchemaNotAtHead,
    ServerUnreachable,
    SesacctlError,
    TopicMissing,
)
from sesacctl.heartbeat import Heartbeat
from sesacctl.pipeline.supervise.background import BackgroundPoll

logger = logging.getLogger(__name__)

_WAITED_FOR = (ServerUnreachable, DatabaseMissing, SchemaNotAtHead, TopicMissing, CacheEmpty)
_EVERY_SECONDS = 1.0
_TICK_SECONDS = 0.1
_BEAT_SECONDS = 10.0


def wait(
    require: Callable[[], None],
    *,
    loop: str,
    home: Path,
    seconds: float,
    stop: Event,
    on_wait: Callable[[str], None] = lambda _: None,
) -> bool:
    """Return True when `require` passes, False when `stop` was set before; it is alive for `health --live` meanwhile.

    `loop` is the name of its heartbeat below `home`; `on_wait` is called with what is missing, whenever that changes.

    Raises:
        SesacctlError: what `require` raises: at once what waiting does not fix, the rest after `seconds`.
        ConfigurationError: `home` cannot be written.
    """
    deadline, said = monotonic() + seconds, ""
    looks = BackgroundPoll(lambda: _missing(require), every=_EVERY_SECONDS)
    with Heartbeat(home, loop) as heartbeat:
        while not stop.is_set():
            heartbeat.beat(_BEAT_SECONDS)
            found = looks.answer()
            if found == []:
                return True
            for error in found or []:
                if monotonic() >= deadline:
                    raise error
                if str(error) != said:
                    said = str(error)
                    logger.info("waiting: %s", said, extra={"action": f"{loop}.waiting"})
                    on_wait(said)
            stop.wait(_TICK_SECONDS)
    return False


def _missing(require: Callable[[], None]) -> list[SesacctlError]:
    """The first thing that is missing and may come; an empty list if nothing is."""
    try:
        require()
    except _WAITED_FOR as error:
        return [error]
    return []
