"""Bugs of a step: its fence, its offsets and its counters."""

from __future__ import annotations

from tests.planted.plant import Plant

_AUDIT_ROWS = "tests/integration/test_audit_rows.py"
_CONSUME_STEPS = "tests/integration/test_consume_steps.py"
_SINK = "tests/integration/test_sink.py"
_SINK_LOCKS = "tests/integration/test_sink_locks.py"
_SINK_REFUSALS = "tests/integration/test_sink_refusals.py"
_LOG_GAPS = "tests/unit/pipeline/consume/test_log_gaps.py"
_ENVELOPES = "tests/unit/test_envelopes.py"
_EVENT_TIMES = "tests/unit/test_event_times.py"

# Not here, as nothing could show it: one of the fence's two comparisons gone, as the other one says the same; and the
# session's time zone left as it is, as a decoded event's time has a zone of its own.
PLANTS: tuple[Plant, ...] = (
    Plant(
        "savepoint-before-fence",
        "sesacctl/pipeline/sink/store.py",
        (
            (
                "                    self._fence(cursor, batches)\n",
                (
                    '                    cursor.execute("SAVEPOINT direct")\n'
                    "                    self._fence(cursor, batches)\n"
                ),
            ),
            ('before = "SAVEPOINT direct; "', 'before = ""'),
        ),
        (f"{_SINK_LOCKS}::test_a_step_with_a_refused_row_keeps_its_partition_locked",),
    ),
    Plant(
        "no-lock-timeout",
        "sesacctl/pipeline/sink/offsets.py",
        (("SET LOCAL lock_timeout = '10s'; ", ""),),
        (f"{_SINK_LOCKS}::test_what_holds_offsets_waits_and_idles_for_seconds_only",),
    ),
    Plant(
        "no-idle-timeout",
        "sesacctl/pipeline/sink/offsets.py",
        (("; SET LOCAL idle_in_transaction_session_timeout = '20s'", ""),),
        (f"{_SINK_LOCKS}::test_what_holds_offsets_waits_and_idles_for_seconds_only",),
    ),
    Plant(
        "copy-row-count-ignored",
        "sesacctl/pipeline/sink/store.py",
        ((" != len(decoding.entries[kind]):", " < 0:"),),
        (
            f"{_SINK_REFUSALS}::test_a_row_that_a_trigger_drops_from_a_copy_is_a_dead_letter",
            f"{_SINK_REFUSALS}::test_a_trigger_dropping_every_row_loses_nothing",
        ),
    ),
    Plant(
        "advice-that-just-failed",
        "sesacctl/pipeline/sink/explain.py",
        (("if value is None or isinstance(error, DoesNotFit):", "if value is None:"),),
        (f"{_ENVELOPES}::test_an_envelope_that_does_not_fit_says_why",),
    ),
    Plant(
        "holes-are-control",
        "sesacctl/pipeline/sink/batch.py",
        (("return self.end - self.next_offset - len(self.records) - self.control", "return 0"),),
        (
            f"{_LOG_GAPS}::test_a_hole_is_named_and_passed_only_if_that_is_accepted",
            f"{_LOG_GAPS}::test_skipped_offsets_are_not_holes",
        ),
    ),
    Plant(
        "ahead-of-the-batch-and-not-of-the-record",
        "sesacctl/pipeline/sink/decoding.py",
        (("counts.ahead += at > _at(record.timestamp) + AHEAD", "counts.ahead += True"),),
        (f"{_EVENT_TIMES}::test_only_events_over_an_hour_ahead_are_counted",),
    ),
    Plant(
        "fence-removed",
        "sesacctl/pipeline/sink/store.py",
        (
            ("        if moved:\n", "        if moved and not batches:\n"),
            (" != len(batches):\n            raise Fenced(", " < 0:\n            raise Fenced("),
        ),
        (
            f"{_SINK}::test_a_step_from_a_stale_offset_is_fenced",
            f"{_SINK}::test_an_unknown_partition_is_fenced",
        ),
    ),
    Plant(
        "other-groups-offsets-move",
        "sesacctl/pipeline/sink/offsets.py",
        (('"o.consumer_group = v.consumer_group AND o.topic_id', '"o.topic_id'),),
        (f"{_SINK}::test_the_same_partition_of_another_stays_where_it_is",),
    ),
    Plant(
        "topic-id-dropped",
        "sesacctl/pipeline/sink/offsets.py",
        (
            (
                "o.consumer_group = v.consumer_group AND o.topic_id = v.topic_id AND",
                "o.consumer_group = v.consumer_group AND",
            ),
        ),
        (f"{_SINK}::test_the_same_partition_of_another_stays_where_it_is",),
    ),
    Plant(
        "a-new-owner-begins-again",
        "sesacctl/pipeline/sink/offsets.py",
        (
            (
                '" DO UPDATE SET topic = EXCLUDED.topic RETURNING',
                '" DO UPDATE SET next_offset = EXCLUDED.next_offset, epoch_offset = EXCLUDED.epoch_offset RETURNING',
            ),
        ),
        (f"{_SINK}::test_a_second_owner_of_a_new_partition_takes_it_as_it_is",),
    ),
    Plant(
        "leader-epoch-not-kept",
        "sesacctl/pipeline/sink/offsets.py",
        (("coalesce(v.leader_epoch::integer, o.leader_epoch)", "o.leader_epoch"),),
        (f"{_CONSUME_STEPS}::test_diverged_epochs_are_a_cut_once_the_last_record_expired",),
    ),
    Plant(
        "committed-before-the-offset-moves",
        "sesacctl/pipeline/sink/store.py",
        (
            (
                "                self._advance(cursor, batches, counts)\n                self._checkpoint",
                (
                    "                self._connection.commit()\n"
                    "                self._advance(cursor, batches, counts)\n"
                    "                self._checkpoint"
                ),
            ),
        ),
        (f"{_SINK}::test_a_crash_before_commit_stores_the_batch_once_on_retry",),
    ),
    Plant(
        "dead-letters-not-kept",
        "sesacctl/pipeline/sink/store.py",
        (("(Failure.DATA, Failure.CONFLICT)]", "(Failure.DATA,)]"),),
        (f"{_SINK}::test_a_repeated_event_is_a_duplicate_unless_its_body_differs",),
    ),
    Plant(
        "truncated-batch-keeps-its-end",
        "sesacctl/pipeline/sink/batch.py",
        (("replace(batch, records=records, end=end)", "replace(batch, records=records)"),),
        (f"{_LOG_GAPS}::test_a_truncated_batch_accounts_for_its_remaining_offsets",),
    ),
    Plant(
        "truncated-a-record-too-far",
        "sesacctl/pipeline/sink/batch.py",
        (("end = records[-1].offset + 1 if records", "end = records[-1].offset + 2 if records"),),
        (f"{_LOG_GAPS}::test_a_truncated_batch_accounts_for_its_remaining_offsets",),
    ),
    Plant(
        "control-is-the-rest",
        "sesacctl/pipeline/sink/batch.py",
        (
            (
                "return sum(max(0, min(end, self.end) - max(first, self.next_offset)) for first, end in self.skipped)",
                "return self.end - self.next_offset - len(self.records)",
            ),
        ),
        (f"{_LOG_GAPS}::test_skipped_offsets_are_not_holes",),
    ),
    Plant(
        "duplicates-are-stored",
        "sesacctl/pipeline/sink/batch.py",
        (("            found.duplicates += 1", "            found.stored += 1"),),
        (f"{_SINK}::test_a_repeated_event_is_a_duplicate_unless_its_body_differs",),
    ),
)
