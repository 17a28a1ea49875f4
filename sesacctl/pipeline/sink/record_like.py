"""What the sink uses of a record, whether Kafka has just handed it out or a table has kept it."""

from __future__ import annotations

from typing import Protocol

from sesacctl.events import Row
from sesacctl.formats import Headers


class RecordLike(Protocol):
    """A record; `timestamp` in milliseconds since 1970, -1 if unknown."""

    @property
    def offset(self) -> int:
        """Its place in its log."""

    @property
    def timestamp(self) -> int:
        """When it was made, or appended."""

    @property
    def key(self) -> bytes | None:
        """Its key."""

    @property
    def value(self) -> bytes | None:
        """Its value; None for a tombstone."""

    @property
    def headers(self) -> Headers:
        """Its headers; names may be any bytes."""


class PolledRecord(RecordLike, Protocol):
    """A record that Kafka has handed out."""

    @property
    def leader_epoch(self) -> int:
        """The leader epoch of the batch that it is in, -1 if unknown."""

    decoded: tuple[Row, bool] | None
    """What its codec has made of it, where that was done ahead."""

    def crc(self) -> int:
        """CRC-32 of key and value."""
