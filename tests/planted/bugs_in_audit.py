"""Bugs of what proves that nothing is lost."""

from __future__ import annotations

from tests.planted.plant import Plant

_AUDIT = "tests/integration/test_audit.py"
_AUDIT_LEDGER = "tests/integration/test_audit_ledger.py"
_DLQ_PATCH = "tests/integration/test_dlq_patch.py"
_OFFSETS = "tests/integration/test_offsets.py"
_DLQ_UNWRAP = "tests/integration/test_dlq_unwrap.py"
_HEALTH_SERVERS = "tests/integration/test_health_servers.py"
_PARKED = "tests/integration/test_parked.py"

PLANTS: tuple[Plant, ...] = (
    Plant(
        "audit-without-abs",
        "sesacctl/pipeline/audit/report.py",
        (("sum(abs(partition.missing) for", "sum(partition.missing for"),),
        (f"{_AUDIT}::test_a_surplus_offset_does_not_hide_a_missing_one",),
    ),
    Plant(
        "audit-blind-to-envelopes",
        "sesacctl/pipeline/audit/kept.py",
        (
            ("from sesacctl.events import Kind,", "from sesacctl.events import CODECS, Kind,"),
            (
                "return envelopes.decode(kind, record.key, record.value, record.timestamp, zone)[0]",
                "return CODECS[kind].decode(record.key, record.value, record.timestamp, zone)[0]",
            ),
        ),
        (f"{_DLQ_UNWRAP}::test_an_unwrap_stores_what_fits_and_every_audit_stays_true",),
    ),
    Plant(
        "audit-reads-one-partition",
        "sesacctl/pipeline/audit/report.py",
        (
            (
                "sum(abs(partition.missing) for partition in partitions)",
                "sum(abs(partition.missing) for partition in partitions[:1])",
            ),
        ),
        (f"{_AUDIT}::test_a_surplus_offset_does_not_hide_a_missing_one",),
    ),
    Plant(
        "deep-audit-reads-one-partition",
        "sesacctl/pipeline/audit/reread.py",
        (
            (
                "        if not starts:\n            return\n",
                "        starts = dict(sorted(starts.items())[:1])\n        if not starts:\n            return\n",
            ),
        ),
        (f"{_AUDIT}::test_a_deep_audit_finds_every_event",),
    ),
    Plant(
        "deep-audit-skips-the-last-record",
        "sesacctl/pipeline/audit/reread.py",
        (("ends=self._ends):", "ends={where: end - 1 for where, end in self._ends.items()}):"),),
        (f"{_AUDIT}::test_a_deep_audit_finds_every_event",),
    ),
    Plant(
        "deep-audit-passes-what-cannot-be-read",
        "sesacctl/pipeline/audit/deep.py",
        (
            (
                "            if event is None or name is None or rows is None:",
                "            if event is None:\n                continue\n            if name is None or rows is None:",
            ),
        ),
        (f"{_AUDIT}::test_deep_audit_misses_a_record_replaced_at_its_position",),
    ),
    Plant(
        "deep-audit-takes-another-topics-letters",
        "sesacctl/pipeline/audit/kept.py",
        (
            (
                "consumer_group = %s AND topic_id = %s AND partition",
                "consumer_group = %s AND (topic_id = %s OR true) AND partition",
            ),
        ),
        (f"{_AUDIT}::test_a_letter_of_another_topic_id_proves_nothing",),
    ),
    Plant(
        "lag-has-the-wrong-sign",
        "sesacctl/pipeline/audit/partitions.py",
        (
            (
                "max(0, self.log_end - begin)",
                "max(0, begin - self.log_end)",
            ),
        ),
        (f"{_AUDIT}::test_lag_counts_what_is_not_stored_and_calls_it_stalled",),
    ),
    Plant(
        "new-partition-has-no-lag",
        "sesacctl/pipeline/audit/partitions.py",
        (
            (
                "begin = self.log_start if self.next is None else self.next",
                "begin = self.log_end if self.next is None else self.next",
            ),
        ),
        (f"{_HEALTH_SERVERS}::test_events_without_consumers_are_unhealthy",),
    ),
    Plant(
        "postgres-read-before-kafka",
        "sesacctl/pipeline/audit/partitions.py",
        (
            (
                "    logs = look()\n"
                "    stored, cuts = offsets.read_partitions(cursor, group), read_open(cursor, group)\n",
                "    stored, cuts = offsets.read_partitions(cursor, group), read_open(cursor, group)\n"
                "    logs = look()\n",
            ),
        ),
        (f"{_OFFSETS}::test_what_comes_between_two_reads_is_no_lag",),
    ),
    Plant(
        "log-that-grew-taken-for-a-cut-one",
        "sesacctl/pipeline/audit/partitions.py",
        (("later = {log.key: log for log in look()} if ahead else {}", "later = {log.key: log for log in logs}"),),
        (f"{_OFFSETS}::test_what_is_stored_between_two_reads_is_no_cut",),
    ),
    Plant(
        "patched-letter-counts-as-kept",
        "sesacctl/pipeline/audit/deep.py",
        (("part, records) - patches.keys()", "part, records)"),),
        (f"{_DLQ_PATCH}::test_audits_hold_the_row_against_the_patched_event",),
    ),
    Plant(
        "missing-is-never-negative",
        "sesacctl/pipeline/audit/partitions.py",
        (("return self.taken - self.counts.offsets", "return max(0, self.taken - self.counts.offsets)"),),
        (f"{_AUDIT}::test_a_surplus_offset_does_not_hide_a_missing_one",),
    ),
    Plant(
        "until-empty-ends-with-one-partition",
        "sesacctl/pipeline/audit/until_empty.py",
        (
            (
                "if any(reached.get(key, -1) < end for key, end in self._ends.items()):",
                "if all(reached.get(key, -1) < end for key, end in self._ends.items()):",
            ),
        ),
        (f"{_PARKED}::test_until_empty_waits_for_each_partition",),
    ),
    Plant(
        "until-empty-forgets-what-is-parked",
        "sesacctl/pipeline/audit/until_empty.py",
        (("        return not self._untried()", "        self._untried()\n        return True"),),
        (f"{_PARKED}::test_until_empty_retries_parked_orders_and_reports_the_rest",),
    ),
    Plant(
        "ledger-read-after-the-logs",
        "sesacctl/pipeline/audit/report.py",
        (
            (
                (
                    "    written_down = read_ledgers(ledgers)  # first: what is acknowledged later would be no "
                    "part of the lag\n"
                    "    partitions = read_partitions(settings)"
                ),
                "    partitions = read_partitions(settings)\n    written_down = read_ledgers(ledgers)",
            ),
        ),
        (f"{_AUDIT_LEDGER}::test_acknowledgements_during_an_audit_raise_no_alarm",),
    ),
    Plant(
        "intent-is-an-acknowledgement",
        "sesacctl/pipeline/audit/ledgers.py",
        (("acknowledged.get(name, False) or entry.acknowledged", "True"),),
        (f"{_AUDIT}::test_a_ledger_is_held_against_the_tables",),
    ),
)
