"""The verdict on a storm, from evidence that no code of ours has touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.faults.evidence import (
    Kept,
    Log,
    Message,
    Tables,
    identify,
    read_tables,
    read_topic,
)
from tests.faults.ledger_lines import KINDS, Ledger, read_ledger
from tests.faults.site import ORDERS, PRODUCTS, USERS, Site

_SHOWN = 5


@dataclass(slots=True)
class Verdict:
    """What is wrong, each as a number; `examples` have a few of each. All 0 is what is promised."""

    acknowledged: int = 0
    orders: int = 0
    kept: int = 0
    wrong: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.wrong

    @property
    def lost(self) -> int:
        """Acknowledged events, and records in Kafka, that are nowhere."""
        return self.wrong["lost"] + self.wrong["acknowledged and lost"]

    def blame(self, what: str, which: object) -> None:
        """Count something wrong."""
        self.wrong[what] += 1
        examples = self.examples.setdefault(what, [])
        if len(examples) < _SHOWN:
            examples.append(str(which))


def judge(site: Site, seeded: Mapping[str, set[str]]) -> Verdict:
    """Hold everything against everything, when nothing moves any more; `seeded` are ids that were there before."""
    verdict, ledger, tables = Verdict(), read_ledger(site.ledger), read_tables(site)
    for problem in ledger.problems:
        verdict.blame("ledger", problem)
    for kind in KINDS:
        log = Log()
        seen = _judge_topic(site, kind, log, ledger, tables, verdict)
        _judge_rows(kind, seen, seeded.get(kind, set()), ledger, tables, verdict, site)
        _judge_counters(site, kind, log, tables, verdict)
    verdict.acknowledged = len(ledger.acknowledged[ORDERS])
    verdict.orders = sum(row.times for row in tables.rows[ORDERS].values())
    verdict.kept = sum(map(len, tables.kept.values()))
    return verdict


def _judge_topic(site: Site, kind: str, log: Log, ledger: Ledger, tables: Tables, verdict: Verdict) -> Counter[str]:
    """Each record is a row or is kept byte for byte; returns how often each id is in the topic and not kept."""
    topic, rows = site.topic(kind), tables.rows[kind]
    seen: Counter[str] = Counter()
    latest: dict[int, tuple[int, int]] = {}
    for message in read_topic(site, kind, log):
        where = f"{topic}-{message.partition}@{message.offset}"
        kept = tables.kept.get((topic, message.partition, message.offset))
        if kept:
            _judge_kept(message, kept, where, verdict)
            continue
        if message.row_id is None or message.row_id not in rows:
            verdict.blame("lost", f"{where}: {message.row_id or message.value!r:.200}")
            continue
        seen[message.row_id] += 1
        row = rows[message.row_id]
        if row.body != message.body and not message.is_foreign:
            verdict.blame("different", f"{where}: {message.row_id}")
        # The cache worker updates rows of the others; after a restore, orders may come before their users.
        if kind == ORDERS and not site.was_set_back and message.row_id in ledger.sent[kind]:
            before, offset = latest.get(message.partition, (0, 0))
            if row.xmin < before:
                verdict.blame("inversion", f"{where} was stored before {offset}")
            latest[message.partition] = max((before, offset), (row.xmin, message.offset))
        if message.row_id not in ledger.sent[kind] and not message.is_foreign:
            verdict.blame("sent by nobody", f"{where}: {message.row_id}")
    return seen


def _judge_kept(message: Message, kept: list[Kept], where: str, verdict: Verdict) -> None:
    if len(kept) > 1:
        verdict.blame("kept twice", where)
    if (kept[0].key, kept[0].value) != (message.key, message.value):
        verdict.blame("kept with other bytes", where)


def _judge_rows(
    kind: str, seen: Counter[str], seeded: set[str], ledger: Ledger, tables: Tables, verdict: Verdict, site: Site
) -> None:
    for row_id, row in tables.rows[kind].items():
        if row.times > 1:
            verdict.blame("doubled", f"{row_id}: {row.times} times in {kind}")
        if row_id not in seen and row_id not in seeded:
            verdict.blame("from nowhere", f"{row_id} in {kind}")
    for row_id, times in seen.items():
        if times > 1 and row_id in ledger.sent[kind]:
            verdict.blame("written twice", f"{row_id}: {times} times in {site.topic(kind)}")
    kept = {
        identify(kind, record.value)[0]
        for (topic, _, _), records in tables.kept.items()
        if topic == site.topic(kind)
        for record in records
    }
    for row_id in ledger.acknowledged[kind]:
        if row_id not in tables.rows[kind] and row_id not in kept:
            verdict.blame("acknowledged and lost", row_id)


def _judge_counters(site: Site, kind: str, log: Log, tables: Tables, verdict: Verdict) -> None:
    topic = site.topic(kind)
    kept = Counter(
        (partition, record.table)
        for (name, partition, _), records in tables.kept.items()
        for record in records
        if name == topic and record.counted
    )
    for partition, end in log.ends.items():
        found = tables.counters.get((topic, partition))
        if found is None:
            if end > log.starts[partition]:
                verdict.blame("never taken up", f"{topic}-{partition}")
            continue
        offsets = found["next_offset"] - found["first_offset"]
        expected = {
            "next_offset": end,
            "dead": kept[partition, "dead_letters"],
            "parked": kept[partition, "parked_events"],
            "control": offsets - log.records_since(partition, found["first_offset"]) - found["expired"],
            "stored": offsets - sum(found[name] for name in ("duplicates", "dead", "parked", "expired", "control")),
        }
        for name, value in expected.items():
            if found[name] != value:
                verdict.blame("counter", f"{topic}-{partition}: {name} is {found[name]}, not {value}")


def seeded(site: Site) -> dict[str, set[str]]:
    """The ids that are there before the storm."""
    return {
        kind: {row[0] for row in site.query(f"SELECT {name} FROM {kind}")}
        for kind, name in ((USERS, "user_id"), (PRODUCTS, "product_id"))
    }
