"""The audit that trusts no counter: reads the topics again and looks every event up in PostgreSQL."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sesacctl.database.connections import transaction
from sesacctl.database.row_values import CHANGEABLE
from sesacctl.events import CODECS, Kind, Row
from sesacctl.pipeline.audit import removals
from sesacctl.pipeline.audit.kept import event_of, kept_offsets
from sesacctl.pipeline.audit.partitions import PartitionProgress
from sesacctl.pipeline.audit.patched import patches_of
from sesacctl.pipeline.audit.removals import Removals
from sesacctl.pipeline.audit.reread import Log
from sesacctl.pipeline.sink.staging import IDENTITY
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions

    from sesacctl.pipeline.sink.record_like import RecordLike

MOST_NAMED = 100
# An update through the library is lawful, and leaves no trace by which to distinguish it from another.
COMPARED = {
    kind: tuple(column for column in columns if column not in CHANGEABLE[kind]) for kind, columns in IDENTITY.items()
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MissingEvent:
    """An event that PostgreSQL moved over and has in no table; `id` is None if it cannot be decoded."""

    position: str
    id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DifferentRow:
    """A row that is not as its event in Kafka: the column, what the event has, what the row has."""

    position: str
    table: str
    id: str
    column: str
    expected: object
    found: object


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepAudit:
    """Every record below PostgreSQL's offsets, read again; `expired` ones are gone from the log's start.

    `missing` counts all, `named` has the first hundred. `kept` are there byte for byte as dead letters or parked
    events, or without what was personal of a user who was forgotten. Of those `found`, `patched` were stored by
    `dlq replay --patch`: their row is held against what the patch makes of the event. `removed` are in no table, as
    orders pruned by age and rows of removed users are: one that went otherwise cannot be told from these. `cut` offsets
    are beyond the log's end: it was truncated. `compared` has the columns that were held against the event, for each
    table, and is empty if none were; `different` counts the events whose row differs in one of them, and
    `named_different` has the first hundred columns.
    """

    read: int
    found: int
    patched: int
    kept: int
    removed: int
    expired: int
    cut: int
    missing: int
    named: list[MissingEvent]
    compared: dict[Kind, tuple[str, ...]]
    different: int
    named_different: list[DifferentRow]


def deep_audit(settings: Settings, partitions: Sequence[PartitionProgress], *, values: bool = False) -> DeepAudit:
    """Look for each record in its table, or, with the same bytes, among the group's dead letters and parked events.

    With `values`, the row's columns that never change are held against the event: `COMPARED`.

    Raises:
        ServerUnreachable: a server cannot be reached.
        ServerRefused: a server refused: wrong credentials or a missing right.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    wanted = [part for part in partitions if part.taken]
    log, looks = Log(settings, wanted), _Looks(settings, COMPARED if values else {})
    with transaction(settings, command="audit", bound=600) as cursor:
        cursor.connection.autocommit = True  # reading takes long, and each look is to see what is there by then
        for part, records in log.chunks():
            if records:
                looks.look_up(cursor, part, records)
    return DeepAudit(
        read=looks.counts["read"],
        found=looks.counts["found"],
        patched=looks.counts["patched"],
        kept=looks.counts["kept"],
        removed=looks.counts["removed"],
        expired=log.expired,
        cut=sum(part.cut for part in wanted),
        missing=looks.counts["missing"],
        named=looks.missing,
        compared=dict(looks.compared),
        different=looks.counts["different"],
        named_different=looks.different,
    )


class _Looks:
    """What became of the records so far."""

    def __init__(self, settings: Settings, compared: Mapping[Kind, tuple[str, ...]]) -> None:
        self.compared = compared
        self.counts = Counter[str]()
        self.missing: list[MissingEvent] = []
        self.different: list[DifferentRow] = []
        self._settings = settings

    def look_up(self, cursor: extensions.cursor, part: PartitionProgress, records: Sequence[RecordLike]) -> None:
        """Look for records of one partition, in the order of their offsets; three queries."""
        # In this order: running consumers move events from there into the tables, and never back.
        zone = self._settings.event_timezone
        patches = patches_of(cursor, self._settings.kafka_group, part, records)
        kept = kept_offsets(cursor, self._settings, part, records) - patches.keys()
        events = {
            record.offset: event_of(part.kind, record, zone, patches.get(record.offset))
            for record in records
            if record.offset not in kept
        }
        columns = self.compared.get(part.kind, ())
        there = _rows(cursor, part.kind, [_id(part.kind, event) for event in events.values() if event], columns)
        self.counts.update(read=len(records), kept=len(kept))
        lawful: Removals | None = None
        for offset, event in events.items():
            position = f"{part.topic}-{part.partition}@{offset}"
            name = _id(part.kind, event) if event else None
            rows = there.get(name)
            if event is None or name is None or rows is None:
                lawful = lawful or removals.read(cursor)
                self._count_absent(position, name, lawful=event is not None and lawful.explain(event))
                continue
            self.counts["found"] += 1
            self.counts["patched"] += offset in patches
            expected = tuple([getattr(event, column) for column in columns])
            if any(row != expected for row in rows):
                self.counts["different"] += 1
                self._name_different(position, part.kind, name, expected, rows)

    def _count_absent(self, position: str, name: str | None, *, lawful: bool) -> None:
        if lawful:
            self.counts["removed"] += 1
            return
        self.counts["missing"] += 1
        if len(self.missing) < MOST_NAMED:
            self.missing.append(MissingEvent(position=position, id=name))

    def _name_different(
        self, position: str, kind: Kind, name: str, expected: tuple[object, ...], rows: Sequence[tuple[object, ...]]
    ) -> None:
        self.different += [
            DifferentRow(position=position, table=kind, id=name, column=column, expected=wanted, found=found)
            for row in rows
            for column, wanted, found in zip(self.compared[kind], expected, row, strict=True)
            if found != wanted
        ][: MOST_NAMED - len(self.different)]


def _id(kind: Kind, event: Row) -> str:
    return CODECS[kind].id_of(event)


def _rows(
    cursor: extensions.cursor, kind: Kind, ids: Sequence[str], columns: Sequence[str]
) -> dict[str | None, list[tuple[object, ...]]]:
    """The columns of each row with one of these ids: more than one where an id is stored more than once."""
    key = CODECS[kind].id_column
    cursor.execute(f"SELECT {', '.join((key, *columns))} FROM {kind} WHERE {key} = ANY(%s)", (list(ids),))
    found: dict[str | None, list[tuple[object, ...]]] = {}
    for row in cursor.fetchall():
        found.setdefault(row[0], []).append(row[1:])
    return found
