"""What is read only after a click: dead letters, parked events, the trace of an order; few at once, and bounded."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from sesacctl.dashboard.hub import in_thread
from sesacctl.documents import document
from sesacctl.errors import DeadLetterMissing, SesacctlError, UsageError
from sesacctl.events import ORDERS, Kind, Reason
from sesacctl.pipeline.repair import dead_letters
from sesacctl.pipeline.repair.dead_letters import Filter
from sesacctl.pipeline.trace.parked import read_parked
from sesacctl.pipeline.trace.trace import trace_event, trace_position
from sesacctl.settings import Settings

logger = logging.getLogger(__name__)

AT_ONCE = 2
LIMIT_SECONDS = 20.0
MOST_LISTED = 200
_LONGEST_ID = 200
_LONG = 2**63 - 1
_POSITION = re.compile(r"([A-Za-z0-9._-]{1,249})-([0-9]{1,9})@([0-9]{1,18})")
_LISTED = ("id", "topic", "partition", "offset", "reason", "detail", "created_at")
Query = dict[str, str]


class Busy(Exception):
    """As many questions as may be asked at once are being answered."""


class TooSlow(Exception):
    """The servers have not answered within `LIMIT_SECONDS`."""


class Clicks:
    """Asks the services of `dlq` and `trace`. A question holds its place until its thread has ended."""

    def __init__(self, settings: Settings, *, at_once: int = AT_ONCE, seconds: float = LIMIT_SECONDS) -> None:
        self._settings, self._free, self._seconds = settings, at_once, seconds

    async def answer(self, question: Callable[[float], dict[str, Any]]) -> dict[str, Any]:
        """What `question` returns; it is given when to end, by the monotonic clock.

        Raises:
            Busy: too many are asked.
            TooSlow: the servers do not answer.
            SesacctlError: what the question raises.
        """
        if self._free <= 0:
            raise Busy
        self._free -= 1
        until = time.monotonic() + self._seconds
        task = asyncio.ensure_future(in_thread(lambda: question(until), "click"))
        task.add_done_callback(self._release)
        try:
            return await asyncio.wait_for(asyncio.shield(task), self._seconds)
        except TimeoutError:
            raise TooSlow from None

    def _release(self, task: asyncio.Future[dict[str, Any]]) -> None:
        self._free += 1
        if not task.cancelled():
            task.exception()  # of one that nobody waits for any more

    def letters(self, query: Query) -> Callable[[float], dict[str, Any]]:
        """The newest dead letters, without what is in them.

        Raises:
            UsageError: a value makes no sense.
        """
        limit = number(query, "limit", least=1, most=MOST_LISTED, default=50)
        reason, topic = query.get("reason"), query.get("topic")
        if reason is not None and reason not in list(Reason):
            raise UsageError("there is no such reason", hint="sesacctl dlq list")
        kinds = {name: kind for kind in Kind for name in (kind.value, self._settings.topic(kind))}
        if topic is not None and topic not in kinds:
            raise UsageError("there is no such topic", hint="sesacctl topics list")
        wanted = Filter(topic=None if topic is None else kinds[topic], reason=reason)

        def ask(_until: float) -> dict[str, Any]:
            found = document(dead_letters.page(self._settings, wanted, limit=limit))
            found["items"] = [{name: item[name] for name in _LISTED} for item in found["items"]]
            return found

        return ask

    def letter(self, letter_id: str) -> Callable[[float], dict[str, Any]]:
        """One dead letter, as `dlq show` has it.

        Raises:
            DeadLetterMissing: there can be none of this id.
        """
        if re.fullmatch(r"[0-9]{1,19}", letter_id) is None or not 0 < int(letter_id) <= _LONG:
            raise DeadLetterMissing
        return lambda _until: document(dead_letters.show(self._settings, int(letter_id)))

    def parked(self, query: Query) -> Callable[[float], dict[str, Any]]:
        """Parked events, the one that waits longest first.

        Raises:
            UsageError: a value makes no sense.
        """
        limit = number(query, "limit", least=1, most=MOST_LISTED, default=50)
        return lambda _until: document(read_parked(self._settings, limit=limit))

    def trace(self, query: Query) -> Callable[[float], dict[str, Any]]:
        """The hops of an order, by its id or its record's position; given up where Kafka is too long to be read.

        Raises:
            UsageError: neither, or both, or a value makes no sense.
        """
        order_id, at = query.get("order_id"), query.get("at")
        if (order_id is None) == (at is None) or not 0 < len(order_id or at or "") <= _LONGEST_ID:
            raise UsageError("an order's id or a position, such as orders-3@42", hint="sesacctl trace --help")
        found = None if at is None else _POSITION.fullmatch(at)
        if at is not None and found is None:
            raise UsageError("that is not a position such as orders-3@42", hint="sesacctl topics describe")

        def ask(until: float) -> dict[str, Any]:
            def on_progress(_read: int, _of: int) -> None:
                if time.monotonic() > until:
                    raise TooSlow

            if found is not None:
                position = found[1], int(found[2]), int(found[3])
                return document(trace_position(self._settings, *position, on_progress=on_progress))
            assert order_id is not None
            return document(trace_event(self._settings, ORDERS, order_id, on_progress=on_progress))

        return ask


def number(query: Query, name: str, *, least: int, most: int, default: int) -> int:
    """A whole number of the query.

    Raises:
        UsageError: it is none, or out of bounds.
    """
    text = query.get(name)
    if text is None:
        return default
    if re.fullmatch(r"[0-9]{1,19}", text) is None or not least <= int(text) <= most:
        raise UsageError(f"{name} is a whole number from {least} to {most}", hint="sesacctl dashboard --help")
    return int(text)


_STATUS = {2: HTTPStatus.BAD_REQUEST, 4: HTTPStatus.SERVICE_UNAVAILABLE, 6: HTTPStatus.SERVICE_UNAVAILABLE}


def problem(error: Exception) -> tuple[HTTPStatus, dict[str, Any]]:
    """Status and body for an error; of a bug, nothing of what was in it."""
    if isinstance(error, Busy):
        return HTTPStatus.TOO_MANY_REQUESTS, _body("others are being answered: try again", None)
    if isinstance(error, TooSlow | TimeoutError):
        return HTTPStatus.GATEWAY_TIMEOUT, _body("the servers do not answer in time", "sesacctl health")
    if isinstance(error, DeadLetterMissing):
        return HTTPStatus.NOT_FOUND, _body(str(error), error.hint)
    if isinstance(error, SesacctlError):
        status = _STATUS.get(error.exit_code, HTTPStatus.INTERNAL_SERVER_ERROR)
        return status, _body(str(error), error.hint)
    logger.error("a question failed: %s", type(error).__name__, extra={"action": "dashboard.failed"})
    return HTTPStatus.INTERNAL_SERVER_ERROR, _body(f"a bug: {type(error).__name__}", "sesacctl health")


def _body(text: str, command: str | None) -> dict[str, Any]:
    return {"error": text, "next": command}
