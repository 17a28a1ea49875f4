"""What is said of an event, from what the servers have shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from sesacctl.events import ORDERS, uuid7, uuid7_time
from sesacctl.pipeline.audit.partitions import PartitionProgress
from sesacctl.pipeline.audit.removals import Removals
from sesacctl.pipeline.sink.counts import Counts
from sesacctl.pipeline.sink.log_cuts import CutLog
from sesacctl.pipeline.trace import nowhere
from sesacctl.pipeline.trace.fate import Fate, of_event, of_record
from sesacctl.pipeline.trace.rows import CutVerdict, KeptRecord, StoredRow, Tables
from sesacctl.pipeline.trace.search import FoundRecord, Searched
from sesacctl.pipeline.trace.timeline import BAD, LedgerLines, Verdict
from tests.helpers.events import message, order

AT = datetime(2026, 11, 29, tzinfo=UTC)
TOPIC_ID = UUID(int=7)
NO_REMOVALS = Removals(pruned=0, pruned_before=None, removed=0, users={}, erased=0)
NOTHING = Tables(rows=[], kept=[], cuts=[], removals=NO_REMOVALS, zone=UTC)
ROW = replace(NOTHING, rows=[StoredRow(key="u1", created_at=AT, transaction="7", committed_at=None)])
PART = PartitionProgress(
    kind=ORDERS, topic="orders", topic_id=TOPIC_ID, partition=3, log_start=10, log_end=100, log_stable_end=90,
    first=20, next=60, kafka_offset=60, counts=Counts(stored=40),
)  # fmt: skip
CUT = CutLog(next_offset=60, diverged_at=50, detail="the log is another")


def record(offset: int, value: bytes = b"{}") -> FoundRecord:
    return FoundRecord(topic="orders", partition=3, offset=offset, timestamp=0, key=b"u1", value=value, headers=())


def kept(offset: int = 30, *, reason: str | None = "invalid_json", discarded: bool = False) -> KeptRecord:
    return KeptRecord(
        id=5, topic="orders", topic_id=TOPIC_ID, partition=3, offset=offset, key=b"u1", value=b"{}", record_time=AT,
        detail="because", since=AT, attempts=0, tried_at=None, reason=reason, discarded_at=AT if discarded else None,
        erased_at=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("offset", "part", "tables", "verdict"),
    [
        (30, PART, ROW, Verdict.STORED),
        (30, PART, NOTHING, Verdict.MISSING),
        (15, PART, NOTHING, Verdict.SKIPPED),
        (60, PART, NOTHING, Verdict.WAITING),
        (60, PART, ROW, Verdict.STORED),
        (60, replace(PART, next=None, first=None), NOTHING, Verdict.WAITING),
        (55, replace(PART, cut_log=CUT), NOTHING, Verdict.CUT),
        (49, replace(PART, cut_log=CUT), NOTHING, Verdict.MISSING),
        (70, replace(PART, cut_log=CUT), NOTHING, Verdict.WAITING),
        (30, PART, replace(NOTHING, kept=[kept()]), Verdict.DEAD_LETTER),
        (30, PART, replace(NOTHING, kept=[kept(discarded=True)]), Verdict.DISCARDED),
        (30, PART, replace(NOTHING, kept=[kept(reason=None)]), Verdict.PARKED),
    ],
)
def test_a_record_by_offsets_and_tables(offset: int, part: PartitionProgress, tables: Tables, verdict: Verdict) -> None:
    assert of_record(record(offset), part, tables, original=None).verdict is verdict


def test_a_kept_record_is_one_with_the_same_bytes() -> None:
    """After a log was cut, another record has the position."""
    tables = replace(NOTHING, kept=[kept()])
    assert of_record(record(30, b"[]"), PART, tables, original=None).verdict is Verdict.MISSING
    other_topic = replace(NOTHING, kept=[replace(kept(), topic_id=UUID(int=8))])
    assert of_record(record(30), PART, other_topic, original=None).verdict is Verdict.MISSING


def test_what_was_removed_lawfully_is_not_called_lost() -> None:
    key, value = message(order())
    pruned = replace(NO_REMOVALS, pruned=1, pruned_before=AT)
    found = replace(record(30), key=key, value=value)
    assert of_record(found, PART, NOTHING, original=None).verdict is Verdict.MISSING
    assert of_record(found, PART, replace(NOTHING, removals=pruned), original=None).verdict is Verdict.REMOVED
    removed = replace(NO_REMOVALS, removed=1, users={"u1": True})
    assert of_record(found, PART, replace(NOTHING, removals=removed), original=None).verdict is Verdict.REMOVED
    forgotten = replace(NO_REMOVALS, users={"u1": False})
    assert of_record(found, PART, replace(NOTHING, removals=forgotten), original=None).verdict is Verdict.MISSING
    erased = replace(NOTHING, kept=[replace(kept(), key=None, value=None, erased_at=AT)])
    assert of_record(found, PART, erased, original=None).verdict is Verdict.DEAD_LETTER


def test_an_event_that_may_still_be_stored_is_not_called_lost() -> None:
    fates = [Fate(verdict=verdict, sentence="") for verdict in (Verdict.MISSING, Verdict.WAITING, Verdict.SKIPPED)]
    found = of_event(fates, NOTHING)
    assert found is not None
    assert found.verdict is Verdict.WAITING
    assert of_event([], NOTHING) is None
    doubled = of_event([], replace(ROW, rows=ROW.rows * 2))
    assert doubled is not None
    assert doubled.verdict is Verdict.DOUBLED


@pytest.mark.parametrize(
    ("offset", "part", "verdict"),
    [
        (5, PART, Verdict.SKIPPED),
        (5, replace(PART, first=0), Verdict.CONSUMED),
        (5, replace(PART, first=0, next=2), Verdict.EXPIRED),
        (5, replace(PART, first=None, next=None), Verdict.EXPIRED),
        (95, PART, Verdict.WAITING),
        (100, PART, Verdict.NO_RECORD),
        (100, replace(PART, next=120), Verdict.CUT),
        (120, replace(PART, next=120), Verdict.NO_RECORD),
        (50, PART, Verdict.NO_RECORD),
    ],
)
def test_a_position_without_a_record(offset: int, part: PartitionProgress, verdict: Verdict) -> None:
    assert nowhere.at_position(part, offset, []).verdict is verdict


def test_expired_offsets_that_were_never_stored_are_not_denied() -> None:
    part = replace(PART, first=0, counts=Counts(stored=50, expired=10))
    assert "unless it is one of 10 that expired" in nowhere.at_position(part, 5, []).sentence


def test_an_id_that_nobody_knows() -> None:
    searched = Searched(since=AT, partitions=[3], read=1, beginning_gone=[], stopped_at=None)
    acked, sent = (LedgerLines(path="l", sent=True, acknowledged=acked) for acked in (True, False))
    cut = CutVerdict(partition=3, detail="cut")
    expired = [replace(PART, counts=Counts(expired=2))]
    assert "--ledger" in nowhere.by_id("o1", [PART], NOTHING, [], searched).sentence
    assert "did not acknowledge" in nowhere.by_id("o1", [PART], NOTHING, [sent], searched).sentence
    assert nowhere.by_id("o1", [PART], NOTHING, [acked], searched).verdict is Verdict.NOWHERE
    assert nowhere.by_id("o1", [PART], replace(NOTHING, cuts=[cut]), [acked], searched).verdict is Verdict.CUT
    assert nowhere.by_id("o1", [PART], replace(NOTHING, cuts=[cut]), [sent], searched).verdict is Verdict.NOWHERE
    assert nowhere.by_id("o1", expired, NOTHING, [acked], searched).verdict is Verdict.NOWHERE
    gone = replace(searched, beginning_gone=[3])
    assert nowhere.by_id("o1", expired, NOTHING, [acked], gone).verdict is Verdict.EXPIRED


def test_the_time_of_an_id() -> None:
    found = uuid7_time(uuid7())
    assert found is not None
    assert abs(found - datetime.now(UTC)) < timedelta(minutes=1)
    assert uuid7_time("o1") is uuid7_time("d1db75c4-95d2-4340-8b64-b5acc2a9ca4d") is uuid7_time("") is None
    assert uuid7_time("ffffffff-ffff-7fff-bfff-ffffffffffff") is None


def test_what_is_bad_is_what_broke_a_promise_or_is_unknown() -> None:
    fine = set(Verdict) - BAD
    assert fine == {
        Verdict.STORED, Verdict.DUPLICATE, Verdict.PARKED, Verdict.DEAD_LETTER, Verdict.DISCARDED, Verdict.WAITING,
        Verdict.SKIPPED, Verdict.CONSUMED, Verdict.REMOVED,
    }  # fmt: skip
