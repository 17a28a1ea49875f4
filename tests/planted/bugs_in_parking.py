"""Bugs of parked orders: another try, and their end."""

from __future__ import annotations

from tests.planted.plant import Plant

_CONSUME_STEPS = "tests/integration/test_consume_steps.py"
_SINK = "tests/integration/test_sink.py"
_SINK_LOCKS = "tests/integration/test_sink_locks.py"
_SINK_REFUSALS = "tests/integration/test_sink_refusals.py"

PLANTS: tuple[Plant, ...] = (
    Plant(
        "parked-again-and-still-a-dead-letter",
        "sesacctl/pipeline/sink/retained.py",
        (("WHERE NOT old.counted AND old.patched_at", "WHERE old.counted AND old.patched_at"),),
        ("tests/integration/test_parked.py::test_a_dead_letter_that_is_parked_again_is_kept_once",),
    ),
    Plant(
        "stored-and-still-a-dead-letter",
        "sesacctl/pipeline/sink/store.py",
        (("                self._old_letters.settle(cursor, batches, entries, refusals)\n", ""),),
        ("tests/integration/test_parked.py::test_a_dead_letter_that_is_stored_later_is_one_no_longer",),
    ),
    Plant(
        "letter-of-another-log-deleted",
        "sesacctl/pipeline/sink/old_letters.py",
        ((" and raw == _bytes_of(records[place])", ""),),
        ("tests/integration/test_parked.py::test_a_dead_letter_that_is_stored_later_is_one_no_longer",),
    ),
    Plant(
        "retry-without-offsets-lock",
        "sesacctl/pipeline/consume/parked.py",
        (("    offsets.lock(cursor, owned[0], sorted(", "    _ = (cursor, owned[0], sorted("),),
        (f"{_SINK_LOCKS}::test_a_retry_waits_for_its_partitions_step",),
    ),
    Plant(
        "retry-without-row-lock",
        "sesacctl/pipeline/consume/parked.py",
        (('lock="FOR UPDATE SKIP LOCKED"', 'lock=""'),),
        (f"{_SINK_LOCKS}::test_two_retries_at_once_store_an_event_once",),
    ),
    Plant(
        "tried-in-the-future",
        "sesacctl/pipeline/consume/parked.py",
        ((" OR tried_at > clock_timestamp())", ")"),),
        (f"{_SINK_REFUSALS}::test_parked_orders_are_retried_after_a_clock_was_set_back",),
    ),
    Plant(
        "orphans-die-in-spite-of-lag",
        "sesacctl/pipeline/consume/parked.py",
        (("any_overdue and parents_without_lag()", "any_overdue"),),
        (f"{_SINK}::test_an_order_whose_user_never_comes_dies_only_without_lag",),
    ),
    Plant(
        "lag-of-one-parent-is-enough",
        "sesacctl/pipeline/consume/parked.py",
        (("    for topic in parents:\n", "    for topic in parents[1:]:\n"),),
        (f"{_CONSUME_STEPS}::test_parents_without_lag_needs_both_topics_read_to_the_end",),
    ),
    Plant(
        "overdue-order-vanishes",
        "sesacctl/pipeline/consume/parked.py",
        (
            (
                "    for counted, refusals in dead.items():\n        save_dead",
                "    for counted, refusals in [(True, [])]:\n        save_dead",
            ),
        ),
        (f"{_SINK}::test_an_order_whose_user_never_comes_dies_only_without_lag",),
    ),
    Plant(
        "still-parked-is-deleted",
        "sesacctl/pipeline/consume/parked.py",
        (
            (
                "    _delete_tried(cursor, [record.id for record in records], still)",
                "    _delete_tried(cursor, [record.id for record in records], [])",
            ),
        ),
        (f"{_SINK}::test_an_order_whose_user_never_comes_dies_only_without_lag",),
    ),
    Plant(
        "parked-counters-in-another-transaction",
        "sesacctl/pipeline/consume/parked.py",
        (
            (
                "    offsets.adjust_counters(cursor, group, changes)\n    _delete",
                "    cursor.connection.commit()\n    offsets.adjust_counters(cursor, group, changes)\n    _delete",
            ),
        ),
        (f"{_SINK_REFUSALS}::test_a_retry_that_is_cut_short_changes_nothing",),
    ),
)
