"""Bugs of what erases, prunes and restores."""

from __future__ import annotations

from tests.planted.plant import Plant

_FORGET = "tests/integration/test_forget.py"
_PRUNE = "tests/integration/test_prune.py"
_DUMP = "tests/integration/test_db_dump.py"

PLANTS: tuple[Plant, ...] = (
    Plant(
        "forget-does-not-wait-for-steps",
        "sesacctl/pipeline/sink/offsets.py",
        (("LOCK TABLE {TABLE} IN EXCLUSIVE MODE", "LOCK TABLE {TABLE} IN ACCESS SHARE MODE"),),
        (f"{_FORGET}::test_a_step_under_way_ends_before_the_user_is_forgotten",),
    ),
    Plant(
        # Not the gate: a refresh also holds the rows of its users until it is done, and forgetting waits for those.
        "forget-takes-out-of-the-cache-first",
        "sesacctl/pipeline/repair/forget.py",
        (
            (
                "        counted.lock_out_writers(cursor)\n        found",
                '        take_out(redis, "users", user_id)\n        counted.lock_out_writers(cursor)\n        found',
            ),
            (
                '        take_out(redis, "users", user_id)\n        cursor.connection.commit()',
                "        cursor.connection.commit()",
            ),
        ),
        (f"{_FORGET}::test_a_refresh_under_way_does_not_bring_the_user_back",),
    ),
    Plant(
        "sink-keeps-an-old-list-of-the-forgotten",
        "sesacctl/pipeline/sink/store.py",
        (("        self._forgotten.update(cursor, version)\n", ""),),
        (
            f"{_FORGET}::test_orders_that_come_or_are_waited_for_stay_anonymous",
            f"{_FORGET}::test_forget_leaves_no_trace_and_consuming_again_brings_none",
        ),
    ),
    Plant(
        "prune-is-not-written-down",
        "sesacctl/pipeline/repair/prune.py",
        (("            write_down(cursor, ORDERS, deleted, reason=PRUNED, made_before=before)\n", ""),),
        (f"{_PRUNE}::test_old_orders_leave_and_the_audit_says_so",),
    ),
    Plant(
        "restore-brings-the-forgotten-back",
        "sesacctl/pipeline/repair/restore.py",
        (("if there.get(user_id) != removed]", "if there.get(user_id) != removed and False]"),),
        (f"{_DUMP}::test_a_person_forgotten_after_the_dump_stays_forgotten",),
    ),
)
