"""Bugs of `trace`: each would have it say more than is so, or less than it could know."""

from __future__ import annotations

from tests.planted.plant import Plant

_TRACE = "tests/integration/test_trace.py"
_VERDICTS = "tests/unit/pipeline/trace/test_verdicts.py"

PLANTS: tuple[Plant, ...] = (
    Plant(
        "trace-knows-a-kept-record-by-its-position",
        "sesacctl/pipeline/trace/fate.py",
        (("            if each.erased_at is not None\n", "            if each is not None\n"),),
        (f"{_VERDICTS}::test_a_kept_record_is_one_with_the_same_bytes",),
    ),
    Plant(
        "trace-takes-what-waits-for-lost",
        "sesacctl/pipeline/trace/fate.py",
        (("part.next is None or record.offset >= part.next", "part.next is None"),),
        (f"{_TRACE}::test_an_order_that_waits_says_how_many_are_before_it",),
    ),
    Plant(
        "trace-overlooks-escaped-ids",
        "sesacctl/envelopes.py",
        (("""DISGUISES = (b"\\\\u", b'"data_base64"')""", """DISGUISES = (b'"data_base64"', b'"data_base64"')"""),),
        (f"{_TRACE}::test_an_id_in_escapes_is_found_in_kafka_and_among_kept",),
    ),
    Plant(
        "trace-calls-every-repeat-stored",
        "sesacctl/pipeline/trace/trace.py",
        (("None if each is original else original", "None"),),
        (f"{_TRACE}::test_a_repeated_order_is_a_duplicate_of_its_first",),
    ),
    Plant(
        "trace-calls-removed-rows-lost",
        "sesacctl/pipeline/trace/fate.py",
        (("event is not None and tables.removals.explain(event)", "False"),),
        (f"{_VERDICTS}::test_what_was_removed_lawfully_is_not_called_lost",),
    ),
    Plant(
        "smoke-leaves-its-orders",
        "sesacctl/pipeline/smoke.py",
        (
            (
                "remove_user(self._settings, self.user_id, list(self._orders), reason",
                "remove_user(self._settings, self.user_id, [], reason",
            ),
            (
                "remove_user(self._settings, self.user_id, self._all_orders(), reason",
                "remove_user(self._settings, self.user_id, [], reason",
            ),
        ),
        ("tests/integration/test_smoke.py::test_orders_come_through_and_leave_nothing_behind",),
    ),
)
