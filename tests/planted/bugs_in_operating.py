"""Bugs of what watches, and what an operator repairs."""

from __future__ import annotations

from tests.planted.plant import Plant

_DLQ = "tests/integration/test_dlq.py"
_SINK_COUNTERS = "tests/integration/test_sink_counters.py"
_SINK_LOCKS = "tests/integration/test_sink_locks.py"
_HEALTH = "tests/unit/pipeline/watch/test_health.py"
_LAG = "tests/unit/pipeline/watch/test_lag.py"
_PAGES = "tests/unit/pipeline/watch/test_pages.py"
_EXPORTER = "tests/unit/pipeline/watch/test_exporter.py"
_MAILBOX = "tests/unit/pipeline/supervise/test_mailbox.py"
_METRICS = "tests/integration/test_metrics.py"
_DASHBOARDS = "tests/integration/test_dashboards.py"
_LOOP_START = "tests/integration/test_loop_start.py"

PLANTS: tuple[Plant, ...] = (
    Plant(
        "pipe-replaced-by-a-file",
        "sesacctl/files.py",
        (("    if not stat.S_ISREG(mode):\n", "    if stat.S_ISBLK(mode):\n"),),
        ("tests/unit/test_settings.py::test_only_a_file_is_replaced",),
    ),
    Plant(
        "pipe-waited-for-without-end",
        "sesacctl/files.py",
        (
            (
                "        if stat.S_ISFIFO(os.fstat(file).st_mode):\n",
                "        if stat.S_ISSOCK(os.fstat(file).st_mode):\n",
            ),
        ),
        ("tests/unit/test_settings.py::test_a_pipe_into_which_nobody_writes_is_refused",),
    ),
    Plant(
        "number-without-a-bound",
        "sesacctl/cli/demo.py",
        (("min=1, max=100_000_000, ", "min=1, "),),
        ("tests/unit/cli/test_cli.py::test_every_number_has_bounds",),
    ),
    Plant(
        "request-that-does-not-wait",
        "sesacctl/broker/kafka_python/connections.py",
        (("        if not 0 < seconds <= timeout_ms / 1000:\n", "        if seconds >= 0:\n"),),
        ("tests/integration/test_bootstrap.py::test_a_request_waits_for_a_broker_that_was_silent",),
    ),
    Plant(
        "replay-without-offsets-lock",
        "sesacctl/pipeline/repair/dead_letters.py",
        (("        offsets.lock(cursor, settings.kafka_group, keys)", "        assert keys"),),
        (f"{_SINK_LOCKS}::test_a_replay_waits_for_its_partitions_step",),
    ),
    Plant(
        "replay-without-row-lock",
        "sesacctl/pipeline/repair/dead_letters.py",
        (('lock="FOR UPDATE"', 'lock=""'),),
        (f"{_SINK_LOCKS}::test_two_replays_at_once_store_a_letter_once",),
    ),
    Plant(
        "dry-run-replays",
        "sesacctl/pipeline/repair/dead_letters.py",
        (("commit=not dry_run", "commit=True"),),
        (f"{_DLQ}::test_replay_stores_what_now_fits_and_updates_the_counters",),
    ),
    Plant(
        "replayed-letter-stays",
        "sesacctl/pipeline/repair/another_try.py",
        (('    forget(cursor, "dead_letters", done)\n', "    _ = forget\n"),),
        (f"{_DLQ}::test_replay_stores_what_now_fits_and_updates_the_counters",),
    ),
    Plant(
        "reset-without-offsets-lock",
        "sesacctl/pipeline/repair/reset_offsets.py",
        (("        offsets.lock(cursor, group, keys)\n", ""),),
        (f"{_SINK_LOCKS}::test_a_reset_waits_for_its_partitions_step",),
    ),
    Plant(
        "reset-leaves-letters-counted",
        "sesacctl/pipeline/repair/reset_offsets.py",
        (("SET counted = false", "SET counted = counted"),),
        (f"{_SINK_COUNTERS}::test_the_counters_are_right_after_any_sequence",),
    ),
    Plant(
        "growing-lag-is-ok",
        "sesacctl/pipeline/watch/lag.py",
        (("if stored_rate <= produced_rate:", "if stored_rate < 0 * produced_rate:"),),
        (f"{_LAG}::test_the_verdict_follows_from_the_rates",),
    ),
    Plant(
        "stall-without-members-is-ok",
        "sesacctl/pipeline/watch/checks.py",
        (("    if lag and not members and not problem:", "    if lag and not members and problem:"),),
        (f"{_HEALTH}::test_what_is_unhealthy",),
    ),
    Plant(
        "dead-workers-are-fine",
        "sesacctl/pipeline/watch/checks.py",
        (
            (
                "if dead := [pulse for pulse in pulses if not pulse.alive]:",
                "if dead := [pulse for pulse in pulses if pulse.pid < 0]:",
            ),
        ),
        (f"{_HEALTH}::test_a_worker_without_a_heartbeat_is_named",),
    ),
    Plant(
        "overdue-loop-is-alive",
        "sesacctl/pipeline/watch/pages.py",
        (("if not pulse.alive]", "if not pulse.pid]"),),
        (f"{_PAGES}::test_an_overdue_loop_is_not_alive",),
    ),
    Plant(
        "full-disk-looks-like-a-dead-loop",
        "sesacctl/heartbeat.py",
        (
            ("        self._due = time.monotonic() + good_for\n        if", "        if"),
            (
                "        self._good_for, self._written, self._failed = good_for, now, False\n",
                "        self._due = now + good_for\n",
            ),
        ),
        (f"{_PAGES}::test_a_full_disk_does_not_make_a_loop_look_dead",),
    ),
    Plant(
        "each-scraper-looks-itself",
        "sesacctl/pipeline/watch/exporter.py",
        (("                if self._looking:", "                if self._looks < 0:"),),
        (f"{_PAGES}::test_two_scrapers_share_one_look",),
    ),
    Plant(
        "waiting-ends-with-an-empty-cache",
        "sesacctl/pipeline/startup.py",
        ((", TopicMissing, CacheEmpty)\n_EVERY", ", TopicMissing)\n_EVERY"),),
        (f"{_LOOP_START}::test_loops_wait_for_what_comes_after_them",),
    ),
    Plant(
        "hints-are-plain-text-in-a-json-log",
        "sesacctl/cli/render.py",
        (
            (
                '    if is_only_json():\n        write("info", "next", command)',
                '    if not command:\n        write("", "", "")',
            ),
        ),
        (f"{_LOOP_START}::test_loops_wait_for_what_comes_after_them",),
    ),
    Plant(
        "reports-that-waited-lose-what-was-done",
        "sesacctl/pipeline/consume/status.py",
        (("        both.activity.add(self.activity)\n", ""),),
        (f"{_MAILBOX}::test_no_activity_is_lost_while_nobody_reads",),
    ),
    Plant(
        "a-parked-counter-falls",
        "sesacctl/pipeline/consume/activity.py",
        (("getattr(counts, name)) > 0:", "getattr(counts, name)) != 0:"),),
        (f"{_EXPORTER}::test_the_supervisor_speaks_for_its_members",),
    ),
    Plant(
        "largest-age-of-those-that-are-known",
        "sesacctl/pipeline/watch/metric_families.py",
        (("if known and len(known) == len(partitions) else []", "if known else []"),),
        (f"{_EXPORTER}::test_the_largest_age_is_given_where_all_are_known",),
    ),
    Plant(
        "missing-topic-is-a-broker-that-is-down",
        "sesacctl/pipeline/watch/metric_families.py",
        (("if isinstance(error, ServerUnreachable | ServerRefused)}", "if isinstance(error, Exception)}"),),
        (f"{_EXPORTER}::test_a_missing_topic_is_not_a_server_that_is_down",),
    ),
    Plant(
        "age-of-the-newest-record",
        "sesacctl/broker/records.py",
        (("chunk.records[0] if chunk.records else None", "chunk.records[-1] if chunk.records else None"),),
        (f"{_METRICS}::test_the_age_of_a_lag_is_that_of_its_first_record",),
    ),
    Plant(
        "metric-renamed-under-its-dashboard",
        "sesacctl/pipeline/watch/metric_families.py",
        (('yield _gauge("sesacctl_lag_seconds", "Age', 'yield _gauge("sesacctl_lag_age_seconds", "Age'),),
        (f"{_DASHBOARDS}::test_every_metric_and_label_that_is_asked_for_exists",),
    ),
    Plant(
        "label-renamed-under-its-alert",
        "sesacctl/pipeline/watch/metric_families.py",
        (('text, ("consumergroup", "topic"), values)', 'text, ("consumergroup", "log"), values)'),),
        (f"{_DASHBOARDS}::test_every_metric_and_label_that_is_asked_for_exists",),
    ),
)
