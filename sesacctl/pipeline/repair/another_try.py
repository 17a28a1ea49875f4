"""Another try at locked dead letters: stored, and out of the way or kept with their patch; or refused, and why now."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from psycopg2.extras import execute_values

from sesacctl.envelopes import Envelope
from sesacctl.events import PARTITIONS
from sesacctl.pipeline.sink import offsets
from sesacctl.pipeline.sink.batch import Refusal
from sesacctl.pipeline.sink.counts import Counts, PartitionKey
from sesacctl.pipeline.sink.patches import Patch
from sesacctl.pipeline.sink.retained import KeptRecord, forget, keep_patched, settle, try_again
from sesacctl.settings import Settings

if TYPE_CHECKING:
    from psycopg2 import extensions


def try_letters(
    cursor: extensions.cursor,
    settings: Settings,
    records: Sequence[KeptRecord],
    unwrap: Envelope | None,
    patch: Patch | None,
) -> list[tuple[KeptRecord, Refusal | None]]:
    """Try locked dead letters in the caller's transaction: each with why it was refused, None if it is stored now."""
    kinds = {settings.topic(kind): kind for kind in PARTITIONS}
    known = [record for record in records if record.topic in kinds]
    results = try_again(cursor, kinds, known, settings.event_timezone, unwrap=unwrap, patch=patch)
    return [(record, results[record.id]) for record in known]


def settle_letters(
    cursor: extensions.cursor,
    settings: Settings,
    results: Sequence[tuple[KeptRecord, Refusal | None]],
    patch: Patch | None,
) -> Counter[str]:
    """Write down what became of each, in the same transaction; how many were stored, duplicates or refused, and why."""
    outcome: Counter[str] = Counter()
    changes: defaultdict[PartitionKey, Counts] = defaultdict(Counts)
    done, refused = [], []
    for record, refusal in results:
        name: str | None = settle(changes, record, "dead", refusal)
        if name:
            done.append(record.id)
        else:
            assert refusal is not None
            name = refusal.reason.value
            refused.append((record.id, name, refusal.detail))
        outcome[name] += 1
    offsets.adjust_counters(cursor, settings.kafka_group, changes)
    if patch is not None:
        keep_patched(cursor, done, patch)
        return outcome
    forget(cursor, "dead_letters", done)
    if refused:
        execute_values(
            cursor,
            "UPDATE dead_letters AS d SET reason = v.reason, detail = v.detail"
            " FROM (VALUES %s) AS v (id, reason, detail) WHERE d.id = v.id",
            refused,
        )
    return outcome
