"""One event through every hop: by its id, or by the position of a record."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sesacctl import envelopes
from sesacctl.broker.records import RecordReader
from sesacctl.errors import UsageError
from sesacctl.events import Kind, uuid7_time
from sesacctl.pipeline.audit.partitions import PartitionProgress, read_partitions
from sesacctl.pipeline.produce.ledger import read_ledger
from sesacctl.pipeline.trace import nowhere, rows, timeline
from sesacctl.pipeline.trace.fate import Fate, of_event, of_record
from sesacctl.pipeline.trace.rows import Tables
from sesacctl.pipeline.trace.search import EPOCH, MARGIN, FoundRecord, OnProgress, Search, found
from sesacctl.pipeline.trace.timeline import Hop, LedgerLines, Trace
from sesacctl.settings import Settings

WITHOUT_TIME = timedelta(hours=24)
"""How far back Kafka is read for an id of which no time is known."""


def trace_event(
    settings: Settings, kind: Kind, row_id: str, *,
    since: datetime | None = None, key: str | None = None, ledgers: Sequence[Path] = (),
    on_progress: OnProgress = lambda _read, _of: None,
) -> Trace:  # fmt: skip
    """Everything that ledgers, Kafka and PostgreSQL know of the event with this id.

    Kafka is read from `since` on; by default from ten minutes before the id, the row or a kept record was made, and
    for the last day if none of these times is known. `key`: what its records are keyed by, if that is known.

    Raises:
        UsageError: a ledger cannot be read.
        CheckFailed: a file is not a ledger.
        ServerUnreachable: a server cannot be reached.
        ServerRefused: a server refused: wrong credentials or a missing right.
        TopicMissing: one of the topics does not exist.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    lines = [_lines(path, kind, row_id) for path in ledgers]
    before = rows.look_up(settings, kind, row_id)
    search = Search(settings, kind, row_id, on_progress)
    parts = [part for part in read_partitions(settings) if part.kind is kind]
    search.run(parts, since or _begin(row_id, before), key or _key(before))
    return _told(settings, search, lines)


def trace_position(
    settings: Settings, topic: str, partition: int, offset: int, *,
    ledgers: Sequence[Path] = (), on_progress: OnProgress = lambda _read, _of: None,
) -> Trace:  # fmt: skip
    """What became of the record at a position, and of the event that it holds; `topic` with or without its prefix.

    Raises:
        UsageError: there is no such partition, or a ledger cannot be read.
        CheckFailed: a file is not a ledger.
        ServerUnreachable: a server cannot be reached.
        ServerRefused: a server refused: wrong credentials or a missing right.
        TopicMissing: one of the topics does not exist.
        SchemaNotAtHead: the schema is not at the revision that this sesacctl needs.
    """
    part = _part(settings, topic, partition)
    record = _read(settings, part, offset)
    if record is None:
        kept = rows.look_up(settings, part.kind, None, [(part.topic_id, partition, offset)]).kept
        return _one(settings, part.kind, nowhere.at_position(part, offset, kept), list(timeline.kept_hops(kept)))
    row_id = envelopes.find_id(part.kind, record.key, record.value)
    lines: list[LedgerLines] = []
    search = Search(settings, part.kind, row_id, on_progress)
    if row_id is not None:
        lines = [_lines(path, part.kind, row_id) for path in ledgers]
        search.run([part], _begin(row_id, rows.look_up(settings, part.kind, row_id), record), None, end=offset + 1)
    return _told(settings, search, lines, asked=record)


def _told(settings: Settings, search: Search, lines: Sequence[LedgerLines], asked: FoundRecord | None = None) -> Trace:
    """The verdict, after a last look: offsets first, as what they have passed is in the tables by then."""
    parts = {part.partition: part for part in read_partitions(settings) if part.kind is search.kind}
    records = search.records if asked is None or asked in search.records else [*search.records, asked]
    places = [(parts[each.partition].topic_id, each.partition, each.offset) for each in records]
    tables = rows.look_up(settings, search.kind, search.row_id, places)
    original = records[0] if records else None
    fates = [
        of_record(each, parts[each.partition], tables, original=None if each is original else original)
        for each in records
    ]
    if asked is not None:
        fate = fates[records.index(asked)]
    else:
        fate = of_event(fates, tables) or nowhere.by_id(
            search.row_id or "", parts.values(), tables, lines, search.report()
        )
    hops = [
        *timeline.ledger_hops(lines),
        *timeline.record_hops(records, {number: each.sentence for number, each in enumerate(fates)}),
        *timeline.kept_hops(tables.kept),
        *timeline.row_hops(search.kind, tables.rows),
    ]
    return _one(settings, search.kind, fate, hops, search)


def _one(settings: Settings, kind: Kind, fate: Fate, hops: list[Hop], search: Search | None = None) -> Trace:
    return Trace(
        kind=kind,
        id=search.row_id if search else None,
        group=settings.kafka_group,
        verdict=fate.verdict,
        sentence=fate.sentence,
        next_command=fate.next_command,
        hops=hops,
        searched=search.report() if search and search.row_id is not None else None,
    )


def _part(settings: Settings, topic: str, partition: int) -> PartitionProgress:
    parts = read_partitions(settings)
    found_parts = [part for part in parts if topic in {part.kind, part.topic} and part.partition == partition]
    if not found_parts:
        named = ", ".join(sorted({part.topic for part in parts}))
        raise UsageError(
            f"there is no partition {topic}-{partition}; the topics are {named}", hint="sesacctl topics describe"
        )
    return found_parts[0]


def _read(settings: Settings, part: PartitionProgress, offset: int) -> FoundRecord | None:
    if not part.log_start <= offset < part.log_stable_end:
        return None
    with RecordReader(settings) as reader:
        records = reader.read(part.topic, part.partition, offset, end=offset + 1)
        return next((found(part.topic, part.partition, record) for record in records), None)


def _begin(row_id: str, tables: Tables, record: FoundRecord | None = None) -> datetime:
    known = [
        uuid7_time(row_id),
        *(row.created_at for row in tables.rows),
        *(kept.record_time for kept in tables.kept),
        None if record is None else record.at,
    ]
    times = [at for at in known if at is not None]
    return max(min(times, default=datetime.now(UTC) - WITHOUT_TIME), EPOCH + MARGIN) - MARGIN


def _key(tables: Tables) -> str | None:
    return tables.rows[0].key if tables.rows else None


def _lines(path: Path, kind: Kind, row_id: str) -> LedgerLines:
    of_it = [entry.acknowledged for entry in read_ledger(path) if (entry.kind, entry.id) == (kind, row_id)]
    return LedgerLines(path=str(path), sent=bool(of_it), acknowledged=any(of_it))
