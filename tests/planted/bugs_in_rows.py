"""Bugs of rows on their way into the tables, and of what becomes of refused ones."""

from __future__ import annotations

from tests.planted.plant import Plant

_DLQ = "tests/integration/test_dlq.py"
_ROW_SECURITY = "tests/integration/test_row_security.py"
_SINK = "tests/integration/test_sink.py"
_SINK_COUNTERS = "tests/integration/test_sink_counters.py"
_SINK_LOCKS = "tests/integration/test_sink_locks.py"
_SINK_REFUSALS = "tests/integration/test_sink_refusals.py"
_SINK_TRIGGERS = "tests/integration/test_sink_triggers.py"
_COPY_ROWS = "tests/unit/pipeline/sink/test_copy_rows.py"
_DECODING = "tests/unit/pipeline/sink/test_decoding.py"
_SQLSTATES = "tests/unit/pipeline/sink/test_sqlstates.py"

PLANTS: tuple[Plant, ...] = (
    Plant(
        "empty-piece-ends-the-copy",
        "sesacctl/pipeline/sink/decoding.py",
        (("            if piece:\n", "            if piece is not None:\n"),),
        (
            f"{_DECODING}::test_pieces_are_all_rows_in_order_and_none_is_empty",
            f"{_SINK}::test_malformed_messages_in_a_row_hide_nothing",
        ),
    ),
    Plant(
        "what-copy-did-not-reach-is-left-out",
        "sesacctl/pipeline/sink/store.py",
        (("entries = decoding.finish()", "entries = decoding.entries"),),
        (f"{_SINK_REFUSALS}::test_after_a_refusal_nothing_is_copied_in_vain",),
    ),
    Plant(
        "bug-while-copying-looks-like-postgresql",
        "sesacctl/pipeline/sink/copy_rows.py",
        (("if texts.error is not None:", "if texts.error is None:"),),
        (f"{_SINK}::test_what_stops_the_making_of_rows_stops_the_step",),
    ),
    Plant(
        "first-header-alone-kept",
        "sesacctl/pipeline/sink/retained.py",
        (("for name, value in record.headers\n", "for name, value in record.headers[:1]\n"),),
        (
            f"{_SINK}::test_a_malformed_message_is_kept_whole_and_passed_over",
            f"{_DLQ}::test_all_headers_are_kept_shown_and_survive_a_replay",
            f"{_SINK_REFUSALS}::test_a_dead_letter_keeps_all_headers_of_its_parked_event",
        ),
    ),
    Plant(
        "first-header-alone-read",
        "sesacctl/pipeline/sink/retained.py",
        (("for name, value in packed]", "for name, value in packed[:1]]"),),
        (
            f"{_SINK}::test_an_order_whose_user_never_comes_dies_only_without_lag",
            f"{_SINK_REFUSALS}::test_a_dead_letter_keeps_all_headers_of_its_parked_event",
        ),
    ),
    Plant(
        "later-event-takes-id",
        "sesacctl/pipeline/sink/staging.py",
        (("first.setdefault(_id(kind, entry), entry)", "first[_id(kind, entry)] = entry"),),
        (f"{_SINK_REFUSALS}::test_the_first_of_two_events_with_one_id_is_stored",),
    ),
    Plant(
        "one-id-is-one-event",
        "sesacctl/pipeline/sink/staging.py",
        (("        if different:\n", "        if different and not there:\n"),),
        (
            f"{_SINK_REFUSALS}::test_the_first_of_two_events_with_one_id_is_stored",
            f"{_SINK}::test_another_body_for_a_user_or_a_product_is_a_dead_letter",
        ),
    ),
    Plant(
        "parked-anew-when-read-again",
        "sesacctl/pipeline/sink/retained.py",
        (("DO UPDATE SET counted = true", "DO UPDATE SET counted = true, parked_at = now()"),),
        (f"{_SINK_REFUSALS}::test_rereading_a_parked_record_keeps_its_age_and_attempts",),
    ),
    Plant(
        "counted-ignored",
        "sesacctl/pipeline/sink/retained.py",
        (("    if record.counted:\n", "    if record is not None:\n"),),
        (
            f"{_SINK_COUNTERS}::test_the_counters_are_right_after_any_sequence",
            f"{_SINK_LOCKS}::test_a_retry_waits_for_its_partitions_step",
        ),
    ),
    Plant(
        "hidden-users-are-missing-ones",
        "sesacctl/pipeline/sink/staging.py",
        (("        row_security.require_visible(cursor, tuple(CODECS))", "        _ = row_security"),),
        (f"{_ROW_SECURITY}::test_orders_of_hidden_users_are_not_parked",),
    ),
    Plant(
        "deferred-triggers-raise-at-commit",
        "sesacctl/pipeline/sink/staging.py",
        (('RAISE_NOW = "SET CONSTRAINTS ALL IMMEDIATE"', 'RAISE_NOW = "SELECT 1"'),),
        (f"{_SINK_TRIGGERS}::test_an_error_raised_at_commit_is_traced_to_its_record",),
    ),
    Plant(
        "conflict-is-a-duplicate",
        "sesacctl/pipeline/sink/staging.py",
        (
            (
                "entry.refuse(Failure.CONFLICT, Reason.CONFLICT, detail)",
                "entry.refuse(Failure.DUPLICATE, Reason.CONFLICT, detail)",
            ),
        ),
        (
            f"{_SINK}::test_a_repeated_event_is_a_duplicate_unless_its_body_differs",
            f"{_SINK}::test_another_body_for_a_user_or_a_product_is_a_dead_letter",
        ),
    ),
    Plant(
        "orphan-is-dead-at-once",
        "sesacctl/pipeline/sink/staging.py",
        (("entry.refuse(Failure.PARK, Reason.ORPHAN,", "entry.refuse(Failure.DATA, Reason.ORPHAN,"),),
        (f"{_SINK}::test_an_order_before_its_user_is_parked_then_stored",),
    ),
    Plant(
        "missing-parent-is-data",
        "sesacctl/pipeline/sink/sqlstates.py",
        (("errorcodes.FOREIGN_KEY_VIOLATION: Failure.PARK", "errorcodes.FOREIGN_KEY_VIOLATION: Failure.DATA"),),
        (f"{_SQLSTATES}::test_the_code_decides",),
    ),
    Plant(
        "outage-is-data",
        "sesacctl/pipeline/sink/sqlstates.py",
        (('{"08", "57", "53", "25", "40", "55"}', '{"08", "53", "25", "40", "55"}'),),
        (f"{_SQLSTATES}::test_the_code_decides",),
    ),
    Plant(
        "stored-order-takes-the-events-status",
        "sesacctl/pipeline/sink/staging.py",
        (
            (
                "    there = _find(cursor, kind, (key, *identity)",
                (
                    "    if kind == ORDERS:\n"
                    '        cursor.execute("UPDATE orders o SET status = s.status FROM stage_orders s WHERE '
                    'o.order_id = s.order_id")\n'
                    "    there = _find(cursor, kind, (key, *identity)"
                ),
            ),
        ),
        (f"{_SINK_REFUSALS}::test_an_order_read_again_keeps_the_status_it_has_by_now",),
    ),
    Plant(
        "half-of-a-refused-set-is-lost",
        "sesacctl/pipeline/sink/staging.py",
        (
            (
                " + _write(cursor, kind, entries[middle:], broken)",
                " + _write(cursor, kind, entries[middle + 1 :], broken)",
            ),
        ),
        (f"{_SINK}::test_rows_that_only_postgresql_refuses_are_isolated",),
    ),
    Plant(
        "backslash-not-escaped",
        "sesacctl/pipeline/sink/copy_rows.py",
        (('and "\\\\" not in text and', "and"),),
        (f"{_COPY_ROWS}::test_any_text_comes_back",),
    ),
    Plant(
        "copied-in-vain-after-a-refusal",
        "sesacctl/pipeline/sink/store.py",
        (("        self._expects_all = not refusals", "        self._expects_all = True"),),
        (f"{_SINK_REFUSALS}::test_after_a_refusal_nothing_is_copied_in_vain",),
    ),
    Plant(
        "never-copied-again-after-a-refusal",
        "sesacctl/pipeline/sink/store.py",
        (
            (
                "        self._expects_all = not refusals",
                "        self._expects_all = self._expects_all and not refusals",
            ),
        ),
        (f"{_SINK_REFUSALS}::test_after_a_refusal_nothing_is_copied_in_vain",),
    ),
)
