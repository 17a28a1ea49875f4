"""From records to rows, a piece at a time, so that PostgreSQL takes one piece in while the next is made."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice
from typing import Any

from sesacctl.events import CODECS, LAST_MS, Kind, Malformed, Reason
from sesacctl.pipeline.sink.batch import WRITE_ORDER, Batch, Entry, Refusal, malformed
from sesacctl.pipeline.sink.counts import Counts, PartitionKey
from sesacctl.pipeline.sink.explain import tidy
from sesacctl.pipeline.sink.forgotten import Forgotten, redact
from sesacctl.pipeline.sink.record_like import PolledRecord
from sesacctl.pipeline.sink.sqlstates import Failure

logger = logging.getLogger(__name__)

PIECE = 500
# An event whose time is later than its record's by more than this: as of clocks that are wrong, or of a zone left out.
AHEAD = timedelta(hours=1)


class Decoding:
    """What the records of one step are, as far as they were decoded by now.

    `entries` has the rows by kind, without what is personal of users in `forgotten`. `refusals` has the records that
    are not events of their topic, and those of users who were removed. `counts` has figures for each partition, which
    take every event for stored and have no refusals: see `tally`. `zone` is that of event times that have none. `then`
    is called once nothing is left to decode. `kinds` are those that there are, parents first.
    """

    def __init__(
        self,
        batches: Sequence[Batch],
        zone: tzinfo = UTC,
        forgotten: Forgotten | None = None,
        then: Callable[[], None] = lambda: None,
    ) -> None:
        self.entries: dict[Kind, list[Entry]] = {kind: [] for kind in WRITE_ORDER}
        self.refusals: list[Refusal] = []
        self.counts: dict[PartitionKey, Counts] = {
            batch.key: Counts(expired=batch.holes if batch.holes_accepted else 0, control=batch.control)
            for batch in batches
        }
        self._zone = zone
        self._forgotten: Forgotten = forgotten or {}
        self.kinds = [kind for kind in WRITE_ORDER if any(batch.kind == kind for batch in batches)]
        self._then = then
        self._pieces = {kind: self._decode(kind, batches) for kind in self.kinds}

    def pieces(self, kind: Kind) -> Iterator[Sequence[Entry]]:
        """The rows of a kind that were not decoded yet, piece by piece; no piece is empty."""
        for piece in self._pieces[kind]:
            if piece:
                self.entries[kind] += piece
                yield piece

    def finish(self) -> Mapping[Kind, list[Entry]]:
        """All rows, after decoding those that are left."""
        for kind in self.kinds:
            for _ in self.pieces(kind):
                pass
        return self.entries

    def _decode(self, kind: Kind, batches: Sequence[Batch]) -> Iterator[list[Entry]]:
        piece: list[Entry] = []
        refusals: list[Refusal] = []
        for batch in batches:
            if batch.kind != kind:
                continue
            records = iter(batch.records)
            while some := list(islice(records, PIECE - len(piece))):
                self._decode_some(batch, some, piece, refusals)
                if len(piece) + len(refusals) >= PIECE:
                    yield self._redacted(piece, refusals)
                    piece, refusals = [], []
        yield self._redacted(piece, refusals)
        if kind == self.kinds[-1]:
            self._then()

    def _redacted(self, piece: list[Entry], refusals: list[Refusal]) -> list[Entry]:
        kept, passed_over = redact(piece, refusals, self._forgotten)
        self.refusals += refusals + passed_over
        return kept

    def _decode_some(
        self, batch: Batch, records: Sequence[PolledRecord], entries: list[Entry], refusals: list[Refusal]
    ) -> None:
        read, counts, before = CODECS[batch.kind].decode, self.counts[batch.key], len(entries)
        # None of these records is earlier, so that one comparison a row tells that there is nothing to look at.
        suspect = _at(min(record.timestamp for record in records)) + AHEAD
        for record in records:
            try:
                row, unknown = record.decoded or read(record.key, record.value, record.timestamp, self._zone)
            except Malformed as error:
                refusals.append(malformed(error, record, batch))
            except Exception as error:  # a bug here would return with the same record, without end
                logger.exception(
                    "%s-%s@%s", batch.topic, batch.partition, record.offset, extra={"action": "sink.decode"}
                )
                refusals.append(Refusal(Failure.DATA, Reason.UNREADABLE, tidy(repr(error)), record, batch))
            else:
                counts.unknown_fields += unknown
                at: Any = row.created_at  # decode sets it
                if at > suspect and record.timestamp >= 0:
                    counts.ahead += at > _at(record.timestamp) + AHEAD
                entries.append(Entry(row, record, batch))
        counts.stored += len(entries) - before


def decode_ahead(kind: Kind, records: Sequence[PolledRecord], zone: tzinfo) -> None:
    """Have rows ready for the step that is to store them; it sees for itself why a record has none."""
    read = CODECS[kind].decode
    for record in records:
        with suppress(Exception):
            record.decoded = read(record.key, record.value, record.timestamp, zone)


def _at(timestamp_ms: int) -> datetime:
    return datetime.fromtimestamp(min(max(timestamp_ms, 0), LAST_MS) / 1000, UTC)
