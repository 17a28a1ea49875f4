"""Bugs of instances, what they own and read, and their supervisor."""

from __future__ import annotations

from tests.planted.plant import Plant

_PARKED = "sesacctl/pipeline/consume/parked.py"
_CONSUME = "sesacctl/pipeline/consume/instance.py"
_LOCKS = "tests/integration/test_sink_locks.py"
_STEPS = "tests/integration/test_consume_steps.py"
_REFUSALS = "tests/integration/test_sink_refusals.py"

PLANTS: tuple[Plant, ...] = (
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
        "poll-error-keeps-position",
        "sesacctl/pipeline/consume/reader.py",
        (("return Polled(None, skipped(", "return Polled(self.membership(), skipped("),),
        (f"{_STEPS}::test_records_that_a_poll_lost_to_an_error_are_read_again",),
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
)
