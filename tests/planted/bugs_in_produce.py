"""Bugs of producers and their ledger."""

from __future__ import annotations

from tests.planted.plant import Plant

_BROKERS = "tests/faults/test_brokers.py"
_PRODUCE = "tests/integration/test_produce.py"
_LEDGER = "tests/unit/pipeline/produce/test_ledger.py"

PLANTS: tuple[Plant, ...] = (
    Plant(
        "ledger-folder-not-synced",
        "sesacctl/pipeline/produce/ledger.py",
        (("                os.fsync(folder)\n", "                pass\n"),),
        (f"{_LEDGER}::test_a_new_ledger_s_name_is_on_the_disk_before_an_intent",),
    ),
    Plant(
        "ledger-acknowledges-failures",
        "sesacctl/pipeline/produce/producer.py",
        (
            (
                "        if delivery.error is not None:\n            return\n        self._latency",
                "        self._latency",
            ),
        ),
        (f"{_BROKERS}::test_delivery_timeout_ends_a_run_without_brokers",),
    ),
    Plant(
        "ledger-acknowledges-at-send",
        "sesacctl/pipeline/produce/producer.py",
        (
            (
                "            self._ledger.intend(kind, map(row_id, batch))\n",
                (
                    "            self._ledger.intend(kind, map(row_id, batch))\n"
                    "            self._ledger.acknowledge(kind, map(row_id, batch))\n"
                ),
            ),
        ),
        (f"{_BROKERS}::test_delivery_timeout_ends_a_run_without_brokers",),
    ),
    Plant(
        "sent-before-it-is-written-down",
        "sesacctl/pipeline/produce/producer.py",
        (
            (
                (
                    "        if self._ledger and batch:\n"
                    "            self._ledger.intend(kind, map(row_id, batch))\n"
                    "        for event in batch:"
                ),
                "        for event in batch:",
            ),
            (
                "        return len(batch)\n\n    def _on_delivery",
                (
                    "        if self._ledger and batch:\n"
                    "            self._ledger.intend(kind, map(row_id, batch))\n"
                    "        return len(batch)\n"
                    "\n"
                    "    def _on_delivery"
                ),
            ),
        ),
        (f"{_PRODUCE}::test_a_full_disk_stops_before_anything_unrecorded_is_sent",),
    ),
    Plant(
        "ends-without-acknowledgements",
        "sesacctl/pipeline/produce/producer.py",
        (
            (
                "        while self._sender.in_flight and time.monotonic() < deadline:",
                "        while self._sender.in_flight < 0 and time.monotonic() < deadline:",
            ),
        ),
        (f"{_PRODUCE}::test_sigterm_lets_everything_in_flight_be_acknowledged",),
    ),
    Plant(
        "ledger-file-not-synced",
        "sesacctl/pipeline/produce/ledger.py",
        (
            (
                (
                    "        self._append([_Line(sent=kind, id=row_id) for row_id in ids])\n"
                    "        try:\n"
                    "            os.fsync(self._file)"
                ),
                "        self._append([_Line(sent=kind, id=row_id) for row_id in ids])\n        try:\n            pass",
            ),
        ),
        (f"{_LEDGER}::test_an_intent_is_on_the_disk_when_intend_returns",),
    ),
    Plant(
        "torn-ledger-line-grows",
        "sesacctl/pipeline/produce/ledger.py",
        (
            (
                "        if end < length:\n            os.ftruncate(self._file, end)",
                "        if end < 0:\n            os.ftruncate(self._file, end)",
            ),
        ),
        (f"{_LEDGER}::test_a_torn_last_line_is_skipped_and_then_truncated",),
    ),
    Plant(
        "ledger-for-two-writers",
        "sesacctl/pipeline/produce/ledger.py",
        (("        if not self._is_alone():", "        if not self._is_alone() and self._file < 0:"),),
        (f"{_LEDGER}::test_two_writers_do_not_mix",),
    ),
)
