"""Bugs that tests are there for, as changes of the code: each is to turn its tests red.

What went unnoticed once would again. A plant whose text is no longer in the code is stale: plant its bug anew.
"""

from __future__ import annotations

from dataclasses import dataclass

_SINK = "sesacctl/pipeline/sink/store.py"
_KEPT = "sesacctl/pipeline/sink/retained.py"
_OFFSETS = "sesacctl/pipeline/sink/offsets.py"
_NEIGHBOURS = "tests/integration/test_db_neighbours.py"
_PARKED = "sesacctl/pipeline/consume/parked.py"
_LETTERS = "sesacctl/pipeline/repair/dead_letters.py"
_CONSUME = "sesacctl/pipeline/consume/instance.py"
_LOCKS = "tests/integration/test_sink_locks.py"
_STEPS = "tests/integration/test_consume_steps.py"
_REFUSALS = "tests/integration/test_sink_refusals.py"
_OPEN = "tests/integration/test_open_transactions.py"
_CLOUDS = "tests/integration/test_kafka_clouds.py"


class StalePlant(Exception):
    """A text to be replaced is not there exactly once."""


@dataclass(frozen=True, slots=True)
class Plant:
    """A bug: `edits` are pairs of a text that is in the file once, and what the bug has there; `tests` are node ids."""

    name: str
    file: str
    edits: tuple[tuple[str, str], ...]
    tests: tuple[str, ...]

    def apply(self, source: str) -> str:
        """The source with the bug.

        Raises:
            StalePlant
        """
        for old, new in self.edits:
            if (times := source.count(old)) != 1:
                raise StalePlant(f"{self.name}: {times} times in {self.file}: {old!r}")
            source = source.replace(old, new)
        return source


PLANTS = (
    Plant(
        "retry-without-offsets-lock",
        _PARKED,
        (("    offsets.lock(cursor, owned[0], sorted(", "    _ = (cursor, owned[0], sorted("),),
        (f"{_LOCKS}::test_a_retry_waits_for_its_partitions_step",),
    ),
    Plant(
        "retry-without-row-lock",
        _PARKED,
        (('lock="FOR UPDATE SKIP LOCKED"', 'lock=""'),),
        (f"{_LOCKS}::test_two_retries_at_once_store_an_event_once",),
    ),
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
        "audit-without-abs",
        "sesacctl/pipeline/audit/report.py",
        (("sum(abs(partition.missing) for", "sum(partition.missing for"),),
        ("tests/integration/test_audit.py::test_a_surplus_offset_does_not_hide_a_missing_one",),
    ),
    Plant(
        "poll-error-keeps-position",
        "sesacctl/pipeline/consume/reader.py",
        (("return Polled(None, skipped(", "return Polled(self.membership(), skipped("),),
        (f"{_STEPS}::test_records_that_a_poll_lost_to_an_error_are_read_again",),
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
        "ledger-folder-not-synced",
        "sesacctl/pipeline/produce/ledger.py",
        (("                os.fsync(folder)\n", "                pass\n"),),
        ("tests/unit/pipeline/produce/test_ledger.py::test_a_new_ledger_s_name_is_on_the_disk_before_an_intent",),
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
        "any-last-record-recognised",
        "sesacctl/pipeline/consume/owned_log.py",
        (
            (
                "    strange = next((record for record in early if not mark.is_of(record)), None)",
                "    return None",
            ),
        ),
        (
            f"{_STEPS}::test_a_changed_last_record_stops_and_the_cut_is_remembered",
            "tests/unit/pipeline/consume/test_owned_log.py::test_another_record_in_its_place_is_never_the_same_log",
        ),
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
    Plant(
        "unwrap-takes-any-key",
        "sesacctl/envelopes.py",
        (("if agrees and is_id and isinstance(own, str)", "if isinstance(own, str)"),),
        ("tests/unit/test_envelopes.py::test_keys_that_contradict_the_row_are_refused",),
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
        "log-ends-where-it-is-stable",
        "sesacctl/broker/offsets.py",
        (("            end=ends[tp].offset,", "            end=stable[tp].offset,"),),
        (
            f"{_OPEN}::test_lag_audit_and_health_count_it_and_say_why",
            f"{_OPEN}::test_until_empty_waits_for_a_transaction_and_then_says_so",
        ),
    ),
    Plant(
        "parents-end-where-they-are-stable",
        "sesacctl/broker/kafka_python/consumer_state.py",
        (("    whole._isolation_level = IsolationLevel.READ_UNCOMMITTED\n", ""),),
        (f"{_OPEN}::test_no_parked_order_dies_while_its_user_waits_behind_one",),
    ),
    Plant(
        "tried-in-the-future",
        _PARKED,
        ((" OR tried_at > clock_timestamp())", ")"),),
        (f"{_REFUSALS}::test_parked_orders_are_retried_after_a_clock_was_set_back",),
    ),
    Plant(
        "truncation-ignored",
        "sesacctl/pipeline/consume/log_gaps.py",
        (("        self._diverged |= {log.key: end and end.offset for log, end in diverged}", "        del diverged"),),
        (
            f"{_STEPS}::test_diverged_epochs_are_a_cut_once_the_last_record_expired",
            f"{_STEPS}::test_a_changed_last_record_stops_and_the_cut_is_remembered",
        ),
    ),
    Plant(
        "unknown-epoch-ignored",
        "sesacctl/pipeline/consume/log_gaps.py",
        (("                self._diverged[log.key] = None\n", "                pass\n"),),
        (f"{_STEPS}::test_an_unknown_epoch_stops_once_the_last_record_expired",),
    ),
    Plant(
        "verdict-not-kept",
        _CONSUME,
        (("            sink.record_cut(found.topic, found.key, found.cut)", "            pass"),),
        (f"{_STEPS}::test_a_changed_last_record_stops_and_the_cut_is_remembered",),
    ),
    Plant(
        "sighup-ends-consume",
        "sesacctl/cli/signals.py",
        (("(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)", "(signal.SIGTERM, signal.SIGINT)"),),
        ("tests/integration/test_process_group.py::test_a_signal_to_the_group_drains[SIGHUP]",),
    ),
    Plant(
        "instance-ends-on-sighup",
        "sesacctl/pipeline/supervise/process.py",
        (
            ("for number in (signal.SIGINT, signal.SIGHUP):", "for number in (signal.SIGINT,):"),
            (
                "    stop = threading.Event()\n",
                "    stop = threading.Event()\n    signal.signal(signal.SIGHUP, signal.SIG_DFL)\n",
            ),
        ),
        ("tests/integration/test_process_group.py::test_a_signal_to_the_group_drains[SIGHUP]",),
    ),
    Plant(
        "fork-server-ends-on-sigterm",
        "sesacctl/pipeline/supervise/preload.py",
        (("signal.signal(signal.SIGTERM, signal.SIG_IGN)\n", ""),),
        ("tests/integration/test_process_group.py::test_a_signal_to_the_group_drains[SIGTERM]",),
    ),
    Plant(
        "fork-server-ends-on-sighup",
        "sesacctl/pipeline/supervise/preload.py",
        (("signal.signal(signal.SIGHUP, signal.SIG_IGN)\n", ""),),
        ("tests/integration/test_process_group.py::test_a_signal_to_the_group_drains[SIGHUP]",),
    ),
    Plant(
        "ctrl-z-hides-the-cursor",
        "sesacctl/cli/signals.py",
        (("        console.show_cursor(True)\n", ""),),
        ("tests/unit/cli/test_signals.py::test_ctrl_z_shows_the_cursor_and_fg_draws_the_screen_again",),
    ),
    Plant(
        "crud-commits-the-callers-work",
        "sesacctl/database/crud.py",
        (("    if session.new or session.dirty or session.deleted:\n        return True\n", ""),),
        ("tests/integration/test_crud.py::test_a_caller_s_transaction_is_the_caller_s_to_end[add]",),
    ),
    Plant(
        "naive-times-are-utc",
        "sesacctl/events.py",
        (("replace(tzinfo=zone)", "replace(tzinfo=UTC)"),),
        ("tests/unit/test_event_times.py::test_a_time_without_a_zone_is_one_of_the_setting",),
    ),
    Plant(
        "ahead-of-the-batch-and-not-of-the-record",
        "sesacctl/pipeline/sink/batch.py",
        (("ahead += at > _at(record.timestamp) + AHEAD", "ahead += True"),),
        ("tests/unit/test_event_times.py::test_only_events_over_an_hour_ahead_are_counted",),
    ),
    Plant(
        "any-alembic-version-is-ours",
        "sesacctl/database/schema/version_table.py",
        ((" and beside_users", ""),),
        (f"{_NEIGHBOURS}::test_an_alembic_version_of_another_program_is_left_alone",),
    ),
    Plant(
        "adopted-in-a-transaction-of-its-own",
        "sesacctl/database/init_db.py",
        (
            (
                "    adopted = adoption.adopt(connection)\n",
                "    adopted = adoption.adopt(connection)\n    connection.commit()\n    connection.begin()\n",
            ),
        ),
        ("tests/integration/test_db_dependants.py::test_an_adoption_that_is_refused_leaves_no_revision",),
    ),
    Plant(
        "bootstrap-without-our-certificate",
        "sesacctl/broker/security.py",
        (
            (
                "    _load_own(context, settings)\n    return",
                "    if verify:\n        _load_own(context, settings)\n    return",
            ),
        ),
        (f"{_CLOUDS}::test_brokers_that_ask_for_certificates_count_as_alive",),
    ),
    Plant(
        "bootstrap-servers-asked-once",
        "sesacctl/broker/kafka_python/rebootstrap.py",
        (("    cluster._do_refresh_metadata = ask_known_or_bootstrap", "    del ask_known_or_bootstrap"),),
        ("tests/integration/test_brokers_replaced.py::test_a_producer_and_a_consumer_find_brokers_that_have_moved",),
    ),
    Plant(
        "members-of-kip-848-hidden",
        "sesacctl/broker/kafka_python/admin_requests.py",
        (
            (
                "            return await _ask(client, _ConsumerGroupDescribe(group_ids=[group]), coordinator)",
                "            return []",
            ),
        ),
        ("tests/integration/test_group_shared.py::test_a_group_used_by_another_application_is_refused[KIP-848]",),
    ),
    Plant(
        "too-large-sent-again",
        "sesacctl/broker/limits.py",
        (("            raise self._too_large(kind, row_id()[:50], sent, limit)", "            pass"),),
        ("tests/integration/test_produce.py::test_an_event_too_large_for_its_topic_is_named_and_skipped",),
    ),
    Plant(
        "hidden-users-are-missing-ones",
        "sesacctl/pipeline/sink/staging.py",
        (("        row_security.require_visible(cursor, tuple(CODECS))", "        _ = row_security"),),
        ("tests/integration/test_row_security.py::test_orders_of_hidden_users_are_not_parked",),
    ),
    Plant(
        "back-with-a-server-that-takes-no-writes",
        "sesacctl/pipeline/consume/postgres_link.py",
        (("            require_writable(connection, self._settings)", "            _ = require_writable"),),
        ("tests/integration/test_read_only.py::test_a_consumer_waits_out_read_only_and_stores_all_once",),
    ),
    Plant(
        "partitions-are-held-without-postgresql",
        _CONSUME,
        (
            (
                "time.monotonic() - since > AWAY_SECONDS",
                "time.monotonic() - since > 1e9 * AWAY_SECONDS",
            ),
        ),
        ("tests/integration/test_consume_away.py::test_an_unconnected_instance_gives_its_partitions_away",),
    ),
    Plant(
        "deferred-triggers-raise-at-commit",
        "sesacctl/pipeline/sink/staging.py",
        (('RAISE_NOW = "SET CONSTRAINTS ALL IMMEDIATE"', 'RAISE_NOW = "SELECT 1"'),),
        ("tests/integration/test_sink_triggers.py::test_an_error_raised_at_commit_is_traced_to_its_record",),
    ),
)
