"""Bugs of the proofs, what watches, and what an operator repairs."""

from __future__ import annotations

from tests.planted.plant import Plant

_LETTERS = "sesacctl/pipeline/repair/dead_letters.py"
_LOCKS = "tests/integration/test_sink_locks.py"

PLANTS: tuple[Plant, ...] = (
    Plant(
        "replay-without-offsets-lock",
        _LETTERS,
        (("        offsets.lock(cursor, settings.kafka_group, keys)", "        assert keys"),),
        (f"{_LOCKS}::test_a_replay_waits_for_its_partitions_step",),
    ),
    Plant(
        "replay-without-row-lock",
        _LETTERS,
        (('lock="FOR UPDATE"', 'lock=""'),),
        (f"{_LOCKS}::test_two_replays_at_once_store_a_letter_once",),
    ),
    Plant(
        "audit-without-abs",
        "sesacctl/pipeline/audit/report.py",
        (("sum(abs(partition.missing) for", "sum(partition.missing for"),),
        ("tests/integration/test_audit.py::test_a_surplus_offset_does_not_hide_a_missing_one",),
    ),
    Plant(
        "audit-blind-to-envelopes",
        "sesacctl/pipeline/audit/deep.py",
        (
            (
                "return envelopes.decode(kind, record.key, record.value, record.timestamp)[0]",
                "return CODECS[kind].decode(record.key, record.value, record.timestamp)[0]",
            ),
        ),
        ("tests/integration/test_dlq_unwrap.py::test_an_unwrap_stores_what_fits_and_every_audit_stays_true",),
    ),
)
