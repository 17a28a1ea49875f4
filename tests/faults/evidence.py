"""What there is, read by foreign means: Kafka through librdkafka, PostgreSQL by plain SQL.

Nothing here may import sesacctl: a bug in a reader of ours must not hide another one.
"""

from __future__ import annotations

import json
import pickle
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import confluent_kafka
from confluent_kafka.admin import AdminClient

from tests.faults.ledger_lines import KINDS
from tests.faults.site import ORDERS, PRODUCTS, USERS, Site
from tests.helpers.waiting import wait_until

_IDS = {ORDERS: "order_id", USERS: "user_id", PRODUCTS: "product_id"}
_BODIES = {
    ORDERS: (
        *("user_id", "product_id", "quantity", "total_amount", "shipping_cost", "discount_amount", "payment_method"),
        *("status", "category", "user_region", "user_gender", "user_age_group", "created_at"),
    ),
    USERS: ("name", "gender", "age", "age_group", "region", "join_date"),
    PRODUCTS: ("name", "category", "brand", "price", "org_price", "discount_rate", "stock"),
}
_ZERO_BY_DEFAULT = ("shipping_cost", "discount_amount")
_SECONDS = 60.0
_PASSING = (
    confluent_kafka.KafkaError.OFFSET_NOT_AVAILABLE,
    confluent_kafka.KafkaError.NOT_LEADER_FOR_PARTITION,
    confluent_kafka.KafkaError.LEADER_NOT_AVAILABLE,
)
FOREIGN, MARK = "foreign-", "storm"
"""How ids of events begin that the storm itself sends, and a header of all of them: a hostile id may be anything."""
_AT_ONCE = 5000
_POLL_SECONDS = 0.3


class Row(NamedTuple):
    """A row of a table: how often its id is there, a hash of its body, the transaction that wrote it."""

    times: int
    body: int
    xmin: int


class Kept(NamedTuple):
    """A dead letter or parked event."""

    table: str
    key: bytes | None
    value: bytes | None
    counted: bool


Position = tuple[str, int, int]


@dataclass(slots=True)
class Tables:
    """PostgreSQL as it is: rows by kind and id, kept records by position, and the counters by topic and partition."""

    rows: dict[str, dict[str, Row]]
    kept: dict[Position, list[Kept]]
    counters: dict[tuple[str, int], dict[str, int]]


def read_tables(site: Site) -> Tables:
    """Everything, in one snapshot."""
    with closing(site.connect()) as connection:
        connection.autocommit = False
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor() as cursor:
            cursor.execute("SET TimeZone = 'UTC'")
            rows = {kind: _read_rows(connection, kind) for kind in KINDS}
            kept: dict[Position, list[Kept]] = {}
            for table, unless in (("dead_letters", " AND discarded_at IS NULL"), ("parked_events", "")):
                cursor.execute(
                    f'SELECT topic, partition, "offset", key, value, counted FROM {table}'
                    f" WHERE consumer_group = %s{unless}",
                    (site.group,),
                )
                for topic, partition, offset, key, value, counted in cursor.fetchall():
                    record = Kept(table, _bytes(key), _bytes(value), counted)
                    kept.setdefault((topic, partition, offset), []).append(record)
            names = "first_offset, next_offset, stored, duplicates, dead, parked, expired, control"
            cursor.execute(
                f"SELECT topic, partition, {names} FROM sink_offsets WHERE consumer_group = %s", (site.group,)
            )
            counters = {
                (topic, partition): dict(zip(names.split(", "), values, strict=True))
                for topic, partition, *values in cursor.fetchall()
            }
        connection.rollback()
    return Tables(rows, kept, counters)


def _read_rows(connection: Any, kind: str) -> dict[str, Row]:
    found: dict[str, Row] = {}
    with connection.cursor(name=f"storm_{kind}") as cursor:
        cursor.itersize = _AT_ONCE
        cursor.execute(f"SELECT {_IDS[kind]}, xmin::text::bigint, {', '.join(_BODIES[kind])} FROM {kind}")
        for row_id, xmin, *values in cursor:
            before = found.get(row_id)
            found[row_id] = Row(before.times + 1 if before else 1, hash(tuple(values)), xmin)
    return found


def _bytes(value: memoryview | None) -> bytes | None:
    return None if value is None else bytes(value)


class Message(NamedTuple):
    """A committed record; `row_id` is None if it holds no event of its topic that this reader understands."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    row_id: str | None
    body: int
    is_foreign: bool


@dataclass(slots=True)
class Log:
    """A topic, once it was read: where each partition begins and ends, and how many records each has.

    `archived` are the offsets of records, by partition, that were kept before they expired.
    """

    starts: dict[int, int] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)
    records: Counter[int] = field(default_factory=Counter)
    archived: dict[int, list[int]] = field(default_factory=dict)

    def records_since(self, partition: int, offset: int) -> int:
        """How many there are, with those that have expired since `offset`."""
        return self.records[partition] + sum(each >= offset for each in self.archived.get(partition, ()))


def consumer(site: Site) -> confluent_kafka.Consumer:
    """A reader outside of all groups of ours."""
    return confluent_kafka.Consumer(
        {
            "bootstrap.servers": site.address.brokers,
            "group.id": f"oracle-{uuid4()}",
            "isolation.level": "read_committed",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "error",
            "log_level": 0,
        }
    )


def watermarks(reader: confluent_kafka.Consumer, topic: str) -> dict[int, tuple[int, int]]:
    """The first offset and the end of each partition."""
    partitions = reader.list_topics(topic, timeout=_SECONDS).topics[topic].partitions
    found: dict[int, tuple[int, int]] = {}
    for number in partitions:
        partition = confluent_kafka.TopicPartition(topic, number)
        low_and_high = wait_until(partial(_watermarks, reader, partition), _SECONDS, f"no end of {topic}-{number}")
        assert low_and_high is not None
        found[number] = low_and_high
    return found


def _watermarks(reader: confluent_kafka.Consumer, partition: Any) -> tuple[int, int] | None:
    """None while a broker that has just begun does not know them, or another one leads by now."""
    try:
        found: tuple[int, int] | None = reader.get_watermark_offsets(partition, timeout=_SECONDS)
    except confluent_kafka.KafkaException as error:
        if not error.args[0].retriable() and error.args[0].code() not in _PASSING:
            raise
        return None
    return found


def read_topic(site: Site, kind: str, log: Log) -> Iterator[Message]:
    """All committed records of a topic, each partition's in order; `log` is filled meanwhile."""
    yield from _archived(site, kind, log)
    topic = site.topic(kind)
    reader = consumer(site)
    try:
        for number, (low, high) in watermarks(reader, topic).items():
            log.starts[number], log.ends[number] = low, high
        yield from _read(reader, kind, topic, log)
    finally:
        reader.close()


def expire(site: Site, kind: str, *, share: float) -> None:
    """Delete the first `share` of the records that are stored, as retention does, and archive them before."""
    topic = site.topic(kind)
    reader, log = consumer(site), Log()
    stored = site.stored(kind)
    try:
        for number, (low, high) in watermarks(reader, topic).items():
            log.starts[number] = low
            log.ends[number] = low + int((min(stored.get(number, low), high) - low) * share)
        with _archive(site, kind).open("ab") as file:
            for message in _read(reader, kind, topic, log):
                pickle.dump(message, file)
        ends = [confluent_kafka.TopicPartition(topic, number, end) for number, end in log.ends.items()]
        admin = AdminClient({"bootstrap.servers": site.address.brokers, "log_level": 0})
        for future in admin.delete_records(ends).values():
            future.result(_SECONDS)
    finally:
        reader.close()


def _archive(site: Site, kind: str) -> Path:
    return site.folder / f"{kind}.archive"


def _archived(site: Site, kind: str, log: Log) -> Iterator[Message]:
    if not (path := _archive(site, kind)).exists():
        return
    with path.open("rb") as file, suppress(EOFError):
        while True:
            message = pickle.load(file)
            offsets = log.archived.setdefault(message.partition, [])
            if not offsets or message.offset > offsets[-1]:  # not twice what a failed attempt did not delete
                offsets.append(message.offset)
                yield message


def _read(reader: confluent_kafka.Consumer, kind: str, topic: str, log: Log) -> Iterator[Message]:
    """Each partition from its start to its end."""
    wanted = {number for number, end in log.ends.items() if end > log.starts[number]}
    reader.assign([confluent_kafka.TopicPartition(topic, number, log.starts[number]) for number in wanted])
    left, deadline = wanted, time.monotonic() + _SECONDS
    while left:
        found = reader.consume(_AT_ONCE, timeout=_POLL_SECONDS)  # it waits for as many, or for so long
        deadline = time.monotonic() + _SECONDS if found else deadline
        assert time.monotonic() < deadline, f"{topic} cannot be read to its end"
        for each in found:
            error, number = each.error(), each.partition()
            if error is None and each.offset() < log.ends[number]:
                log.records[number] += 1
                yield _message(kind, each)
            elif error is None or error.code() == confluent_kafka.KafkaError._PARTITION_EOF:
                left.discard(number)
            else:
                raise confluent_kafka.KafkaException(error)


def _message(kind: str, record: Any) -> Message:
    row_id, body = identify(kind, record.value(), record.timestamp()[1])
    foreign = any(name == MARK for name, _ in record.headers() or ())
    return Message(record.partition(), record.offset(), record.key(), record.value(), row_id, body, foreign)


def identify(kind: str, value: bytes | None, timestamp_ms: int = 0) -> tuple[str | None, int]:
    """The id of the row that is in an event, and a hash of its body; None if there is none."""
    try:
        event = json.loads(value or b"")
        row = event.get(kind.removesuffix("s"), event)
        values = dict(row)
        if "created_at" in _BODIES[kind]:
            values["created_at"] = _time(row.get("created_at") or event.get("timestamp"), timestamp_ms)
        if values.get("join_date"):
            values["join_date"] = datetime.fromisoformat(values["join_date"]).date()
        for name in _ZERO_BY_DEFAULT:
            values[name] = values.get(name) or 0
        found = row[_IDS[kind]]
        return (found if isinstance(found, str) else None), hash(tuple(values.get(name) for name in _BODIES[kind]))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError):
        return None, 0


def _time(text: str | None, timestamp_ms: int) -> datetime:
    if text is None:
        return datetime.fromtimestamp(timestamp_ms / 1000, UTC)
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
