"""The next records, read and decoded while PostgreSQL works on a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from datetime import tzinfo

from sesacctl.events import Kind
from sesacctl.pipeline.consume.reader import Membership, Polled, Reader
from sesacctl.pipeline.sink.decoding import decode_ahead

WORTH_A_THREAD = 1_000
"""Records of a step: with fewer, PostgreSQL is done before anything could be gained."""


class Ahead:
    """At most one poll, which continues where the step ends that is in PostgreSQL.

    If that step fails, offsets are read again from PostgreSQL, and what was polled before that is dropped as ever.
    """

    def __init__(self, kind_of: Mapping[str, Kind], zone: tzinfo, *, enabled: bool = True) -> None:
        """`kind_of` has the kind of event for each topic name, `zone` is that of event times that have none."""
        self._kind_of = kind_of
        self._zone = zone
        self._enabled = enabled
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ahead")
        self._next: Future[Polled] | None = None

    @contextmanager
    def reading(self, reader: Reader, records: int) -> Iterator[Callable[[], None]]:
        """The block is a step of so many records; what it is given is to be called when the poll may begin.

        From then on to the end of the block a thread has the reader.
        """
        try:
            worth_it = self._enabled and records >= WORTH_A_THREAD
            yield (lambda: self._begin(reader)) if worth_it else lambda: None
        finally:
            if self._next is not None:
                wait([self._next])

    def take(self) -> Polled | None:
        """What was polled; None if nothing was. Raises what the poll has raised."""
        done, self._next = self._next, None
        return None if done is None else done.result()

    def membership_after(self, polled: Polled) -> Membership | None:
        """What the group had assigned by the end of a step with these records, as far as was asked meanwhile."""
        if self._next is None or self._next.exception() is not None:
            return polled.membership
        return self._next.result().membership

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown()

    def _begin(self, reader: Reader) -> None:
        self._next = self._thread.submit(self._poll, reader)

    def _poll(self, reader: Reader) -> Polled:
        polled = reader.poll(timeout_ms=0)
        for tp, records in polled.records.items():
            decode_ahead(self._kind_of[tp.topic], records, self._zone)
        return polled
