"""Bugs of rows, refusals, offsets and counters."""

from __future__ import annotations

from tests.planted.plant import Plant

_SINK = "sesacctl/pipeline/sink/store.py"
_KEPT = "sesacctl/pipeline/sink/retained.py"
_OFFSETS = "sesacctl/pipeline/sink/offsets.py"
_LOCKS = "tests/integration/test_sink_locks.py"
_REFUSALS = "tests/integration/test_sink_refusals.py"

PLANTS: tuple[Plant, ...] = (
    Plant(
        "savepoint-before-fence",
        _SINK,
        (
            (
                "                self._fence(cursor, batches)\n                refusals",
                '                cursor.execute("SAVEPOINT direct")\n'
                "                self._fence(cursor, batches)\n                refusals",
            ),
            ('        cursor.execute("SAVEPOINT direct")\n        try:', "        try:"),
        ),
        (f"{_LOCKS}::test_a_step_with_a_refused_row_keeps_its_partition_locked",),
    ),
    Plant(
        "session-time-zone",
        _OFFSETS,
        (("\" SET LOCAL TimeZone = 'UTC'; SELECT", '" SELECT'),),
        (f"{_LOCKS}::test_naive_times_are_utc_whatever_the_servers_time_zone",),
    ),
    Plant(
        "no-lock-timeout",
        _OFFSETS,
        (("SET LOCAL lock_timeout = '10s'; ", ""),),
        (f"{_LOCKS}::test_what_holds_offsets_waits_and_idles_for_seconds_only",),
    ),
    Plant(
        "no-idle-timeout",
        _OFFSETS,
        ((" SET LOCAL idle_in_transaction_session_timeout = '20s';", ""),),
        (f"{_LOCKS}::test_what_holds_offsets_waits_and_idles_for_seconds_only",),
    ),
    Plant(
        "first-header-alone-kept",
        _KEPT,
        (("for name, value in record.headers\n", "for name, value in record.headers[:1]\n"),),
        (
            "tests/integration/test_sink.py::test_a_malformed_message_is_kept_whole_and_passed_over",
            "tests/integration/test_dlq.py::test_all_headers_are_kept_shown_and_survive_a_replay",
            f"{_REFUSALS}::test_a_dead_letter_keeps_all_headers_of_its_parked_event",
        ),
    ),
    Plant(
        "first-header-alone-read",
        _KEPT,
        (("for name, value in packed]", "for name, value in packed[:1]]"),),
        (
            "tests/integration/test_sink.py::test_an_order_whose_user_never_comes_dies_only_without_lag",
            f"{_REFUSALS}::test_a_dead_letter_keeps_all_headers_of_its_parked_event",
        ),
    ),
    Plant(
        "later-event-takes-id",
        "sesacctl/pipeline/sink/staging.py",
        (("first.setdefault(_id(kind, entry), entry)", "first[_id(kind, entry)] = entry"),),
        (f"{_REFUSALS}::test_the_first_of_two_events_with_one_id_is_stored",),
    ),
    Plant(
        "one-id-is-one-event",
        "sesacctl/pipeline/sink/staging.py",
        (("        if different:\n", "        if different and not there:\n"),),
        (
            f"{_REFUSALS}::test_the_first_of_two_events_with_one_id_is_stored",
            "tests/integration/test_sink.py::test_another_body_for_a_user_or_a_product_is_a_dead_letter",
        ),
    ),
    Plant(
        "parked-anew-when-read-again",
        _KEPT,
        (("DO UPDATE SET counted = true", "DO UPDATE SET counted = true, parked_at = now()"),),
        (f"{_REFUSALS}::test_rereading_a_parked_record_keeps_its_age_and_attempts",),
    ),
    Plant(
        "copy-row-count-ignored",
        _SINK,
        ((" != len(entries[kind]):", " < 0:"),),
        (
            f"{_REFUSALS}::test_a_row_that_a_trigger_drops_from_a_copy_is_a_dead_letter",
            f"{_REFUSALS}::test_a_trigger_dropping_every_row_loses_nothing",
        ),
    ),
    Plant(
        "counted-ignored",
        _KEPT,
        (("    if record.counted:\n", "    if record is not None:\n"),),
        (
            "tests/integration/test_sink_counters.py::test_the_counters_are_right_after_any_sequence",
            f"{_LOCKS}::test_a_retry_waits_for_its_partitions_step",
            f"{_LOCKS}::test_a_replay_waits_for_its_partitions_step",
        ),
    ),
    Plant(
        "advice-that-just-failed",
        "sesacctl/pipeline/sink/batch.py",
        (("if value is None or isinstance(error, DoesNotFit):", "if value is None:"),),
        ("tests/unit/test_envelopes.py::test_an_envelope_that_does_not_fit_says_why",),
    ),
    Plant(
        "holes-are-control",
        "sesacctl/pipeline/sink/batch.py",
        (("return self.end - self.next_offset - len(self.records) - self.control", "return 0"),),
        (
            "tests/unit/pipeline/consume/test_log_gaps.py::test_a_hole_is_named_and_passed_only_if_that_is_accepted",
            "tests/unit/pipeline/consume/test_log_gaps.py::test_skipped_offsets_are_not_holes",
        ),
    ),
    Plant(
        "ahead-of-the-batch-and-not-of-the-record",
        "sesacctl/pipeline/sink/batch.py",
        (("ahead += at > _at(record.timestamp) + AHEAD", "ahead += True"),),
        ("tests/unit/test_event_times.py::test_only_events_over_an_hour_ahead_are_counted",),
    ),
    Plant(
        "hidden-users-are-missing-ones",
        "sesacctl/pipeline/sink/staging.py",
        (("        row_security.require_visible(cursor, tuple(CODECS))", "        _ = row_security"),),
        ("tests/integration/test_row_security.py::test_orders_of_hidden_users_are_not_parked",),
    ),
    Plant(
        "deferred-triggers-raise-at-commit",
        "sesacctl/pipeline/sink/staging.py",
        (('RAISE_NOW = "SET CONSTRAINTS ALL IMMEDIATE"', 'RAISE_NOW = "SELECT 1"'),),
        ("tests/integration/test_sink_triggers.py::test_an_error_raised_at_commit_is_traced_to_its_record",),
    ),
)
