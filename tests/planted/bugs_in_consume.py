"""Bugs of one instance: what it owns, reads and stores."""

from __future__ import annotations

from tests.planted.plant import Plant

_AHEAD = "tests/unit/pipeline/consume/test_ahead.py"
_CONSUME_AHEAD = "tests/integration/test_consume_ahead.py"
_CONSUME_AWAY = "tests/faults/test_consume_away.py"
_CONSUME_STEPS = "tests/integration/test_consume_steps.py"
_READ_ONLY = "tests/integration/test_read_only.py"
_ASSIGNMENT = "tests/unit/pipeline/consume/test_assignment.py"
_LOG_GAPS = "tests/unit/pipeline/consume/test_log_gaps.py"
_OWNED_LOG = "tests/unit/pipeline/consume/test_owned_log.py"
_MAILBOX = "tests/unit/pipeline/supervise/test_mailbox.py"

PLANTS: tuple[Plant, ...] = (
    Plant(
        "read-ahead-and-never-let-go",
        "sesacctl/pipeline/consume/ahead.py",
        (("done, self._next = self._next, None", "done = self._next"),),
        (f"{_AHEAD}::test_a_poll_is_made_in_another_thread_and_taken_once",),
    ),
    Plant(
        "error-ahead-ignored",
        "sesacctl/pipeline/consume/ahead.py",
        (("return None if done is None else", "return None if done is None or done.exception() else"),),
        (
            f"{_AHEAD}::test_what_a_poll_raises_is_raised_when_it_is_taken",
            f"{_CONSUME_AHEAD}::test_an_error_of_the_poll_ahead_ends_the_instance",
        ),
    ),
    Plant(
        "group-changed-ahead-unseen",
        "sesacctl/pipeline/consume/ahead.py",
        (("        return self._next.result().membership", "        return polled.membership"),),
        (f"{_AHEAD}::test_the_membership_is_that_of_the_last_poll",),
    ),
    Plant(
        "poll-error-keeps-position",
        "sesacctl/pipeline/consume/reader.py",
        (("return Polled(None, skipped(", "return Polled(self.membership(), skipped("),),
        (f"{_CONSUME_STEPS}::test_records_that_a_poll_lost_to_an_error_are_read_again",),
    ),
    Plant(
        "any-last-record-recognised",
        "sesacctl/pipeline/consume/owned_log.py",
        (("    strange = next((record for record in early if not mark.is_of(record)), None)", "    return None"),),
        (
            f"{_CONSUME_STEPS}::test_a_changed_last_record_stops_and_the_cut_is_remembered",
            f"{_OWNED_LOG}::test_another_record_in_its_place_is_never_the_same_log",
        ),
    ),
    Plant(
        "truncation-ignored",
        "sesacctl/pipeline/consume/log_gaps.py",
        (("        self._diverged |= {log.key: end and end.offset for log, end in diverged}", "        del diverged"),),
        (
            f"{_CONSUME_STEPS}::test_diverged_epochs_are_a_cut_once_the_last_record_expired",
            f"{_CONSUME_STEPS}::test_a_changed_last_record_stops_and_the_cut_is_remembered",
        ),
    ),
    Plant(
        "unknown-epoch-ignored",
        "sesacctl/pipeline/consume/log_gaps.py",
        (("                self._diverged[log.key] = None\n", "                pass\n"),),
        (f"{_CONSUME_STEPS}::test_an_unknown_epoch_stops_once_the_last_record_expired",),
    ),
    Plant(
        "verdict-not-kept",
        "sesacctl/pipeline/consume/instance.py",
        (("            sink.record_cut(found.topic, found.key, found.cut)", "            pass"),),
        (f"{_CONSUME_STEPS}::test_a_changed_last_record_stops_and_the_cut_is_remembered",),
    ),
    Plant(
        "back-with-a-server-that-takes-no-writes",
        "sesacctl/pipeline/consume/postgres_link.py",
        (("            require_writable(connection, self._settings)", "            _ = require_writable"),),
        (f"{_READ_ONLY}::test_a_consumer_waits_out_read_only_and_stores_all_once",),
    ),
    Plant(
        "partitions-are-held-without-postgresql",
        "sesacctl/pipeline/consume/instance.py",
        (("time.monotonic() - since > AWAY_SECONDS", "time.monotonic() - since > 1e9 * AWAY_SECONDS"),),
        (f"{_CONSUME_AWAY}::test_an_unconnected_instance_gives_its_partitions_away",),
    ),
    Plant(
        "next-offset-is-the-last-record",
        "sesacctl/pipeline/consume/assignment.py",
        (("fresh[-1].offset + 1, fresh", "fresh[-1].offset, fresh"),),
        (f"{_ASSIGNMENT}::test_batches_begin_at_the_next_offset_and_advance_it",),
    ),
    Plant(
        "next-offset-is-one-too-far",
        "sesacctl/pipeline/consume/assignment.py",
        (("batch.end\n            self._uncommitted", "batch.end + 1\n            self._uncommitted"),),
        (f"{_ASSIGNMENT}::test_batches_begin_at_the_next_offset_and_advance_it",),
    ),
    Plant(
        "membership-never-changes",
        "sesacctl/pipeline/consume/assignment.py",
        (("return self._membership is None or membership != self._membership", "return self._membership is None"),),
        (f"{_ASSIGNMENT}::test_ownership_is_refreshed_when_the_membership_changes",),
    ),
    Plant(
        "topic-created-again-unnoticed",
        "sesacctl/pipeline/consume/assignment.py",
        (
            (
                "or membership != self._membership",
                "or membership is None or membership.generation != self._membership.generation",
            ),
        ),
        (f"{_ASSIGNMENT}::test_ownership_is_refreshed_when_the_membership_changes",),
    ),
    Plant(
        "changed-offsets-unnoticed",
        "sesacctl/pipeline/consume/assignment.py",
        (("return all(stored.get(key) == offset for", "return all(stored.get(key, offset) >= offset for"),),
        (f"{_ASSIGNMENT}::test_offsets_moved_by_another_process_are_noticed",),
    ),
    Plant(
        "control-passes-polled-records",
        "sesacctl/pipeline/consume/assignment.py",
        (("self._mine({} if polled.records else polled.positions)", "self._mine(polled.positions)"),),
        (f"{_ASSIGNMENT}::test_markers_at_the_end_of_a_log_move_the_position_alone",),
    ),
    Plant(
        "begins-at-the-end",
        "sesacctl/pipeline/consume/seek.py",
        (("reader.log_starts([tp", "reader.log_ends([tp"),),
        (f"{_CONSUME_STEPS}::test_records_that_a_poll_lost_to_an_error_are_read_again",),
    ),
    Plant(
        "seeks-without-leader-epoch",
        "sesacctl/pipeline/consume/seek.py",
        (("mark.leader_epoch if log.epoch_agrees else None", "None"),),
        (f"{_CONSUME_STEPS}::test_an_unknown_epoch_stops_once_the_last_record_expired",),
    ),
    Plant(
        "fenced-and-reads-on",
        "sesacctl/pipeline/consume/instance.py",
        (
            (
                'extra={"action": "consume.fenced"})\n            assignment.mark_changed()',
                'extra={"action": "consume.fenced"})',
            ),
        ),
        (f"{_CONSUME_STEPS}::test_a_step_that_was_overtaken_is_read_again",),
    ),
    Plant(
        "reconnected-and-reads-on",
        "sesacctl/pipeline/consume/instance.py",
        (
            (
                "                reader.poll_paused(timeout_ms=100)\n            assignment.mark_changed()",
                "                reader.poll_paused(timeout_ms=100)",
            ),
        ),
        (f"{_CONSUME_STEPS}::test_a_step_lost_with_its_connection_is_read_again",),
    ),
    Plant(
        "left-out-of-a-step-and-not-read-again",
        "sesacctl/pipeline/consume/instance.py",
        (("        if batches is not polled:\n            self._member.place.assignment.mark_changed()\n", ""),),
        (f"{_CONSUME_STEPS}::test_records_that_were_not_granted_are_read_again",),
    ),
    Plant(
        "kafka-told-before-postgresql",
        "sesacctl/pipeline/consume/instance.py",
        (
            (
                "            stored = self._store(sink, batches, polled.at)\n            assignment.advance(stored)",
                (
                    "            assignment.advance(batches)\n"
                    "            reader.commit_to_kafka(assignment.take_uncommitted())\n"
                    "            stored = self._store(sink, batches, polled.at)"
                ),
            ),
        ),
        (f"{_CONSUME_STEPS}::test_kafka_is_never_told_more_than_postgresql_has",),
    ),
    Plant(
        "expired-from-the-wrong-side",
        "sesacctl/pipeline/consume/log_gaps.py",
        (("if log.next_offset < start:", "if log.next_offset <= start:"),),
        (f"{_ASSIGNMENT}::test_diverged_epochs_decide_once_the_last_record_expired",),
    ),
    Plant(
        "gap-accepted-by-itself",
        "sesacctl/pipeline/consume/log_gaps.py",
        (("    if not accept:\n        raise gap", "    if not accept and end < first:\n        raise gap"),),
        (
            f"{_LOG_GAPS}::test_expired_records_are_passed_only_if_that_is_accepted",
            f"{_LOG_GAPS}::test_a_hole_is_named_and_passed_only_if_that_is_accepted",
        ),
    ),
    Plant(
        "shorter-log-unnoticed",
        "sesacctl/pipeline/consume/log_gaps.py",
        (("if ends.get(log.tp, log.next_offset) < log.next_offset:", "if ends.get(log.tp, log.next_offset) < 0:"),),
        (f"{_ASSIGNMENT}::test_log_ends_are_asked_for_only_after_a_short_fetch",),
    ),
    Plant(
        "waiting-status-loses-counts",
        "sesacctl/pipeline/consume/status.py",
        (("        both.counts.add(self.counts)\n", ""),),
        (f"{_MAILBOX}::test_an_idle_supervisor_blocks_nothing_and_loses_no_count",),
    ),
    Plant(
        "away-and-still-a-member",
        "sesacctl/pipeline/consume/group_member.py",
        (
            (
                "        leave_group(self._settings, [self._member_id], seconds=LEAVE_SECONDS)\n",
                "        _ = leave_group\n",
            ),
        ),
        (f"{_CONSUME_AWAY}::test_an_instance_that_is_away_has_left_the_group",),
    ),
    Plant(
        "standing-verdict-ignored",
        "sesacctl/pipeline/consume/seek.py",
        (("        if cut := cuts.get(key):", "        if (cut := cuts.get(key)) and cut.next_offset < 0:"),),
        (f"{_CONSUME_STEPS}::test_a_changed_last_record_stops_and_the_cut_is_remembered",),
    ),
)
