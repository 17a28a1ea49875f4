"""Bugs of drills, and one of the promise that a drill has to notice."""

from __future__ import annotations

from tests.planted.plant import Plant

_DRILL = "tests/faults/test_drill_sharing.py"
_LOCAL = "tests/unit/drill/test_drill_local.py"
_TIMELINE = "tests/unit/drill/test_drill_timeline.py"

PLANTS: tuple[Plant, ...] = (
    Plant(
        "fence-removed-in-a-drill",
        "sesacctl/pipeline/sink/store.py",
        (
            ("        if moved:\n", "        if moved is None:\n"),
            ("self._group, batches, counts) != len(batches):", "self._group, batches, counts) < 0:"),
        ),
        (f"{_DRILL}::test_frozen_instances_store_nothing_twice",),
    ),
    Plant(
        "drill-leaves-its-fault",
        "sesacctl/drill/run.py",
        (("                undo.callback(fault.heal)\n", ""),),
        (f"{_DRILL}::test_an_end_wakes_the_users_instances",),
    ),
    Plant(
        "drill-deaf-before-its-fault",
        "sesacctl/drill/run.py",
        (("    if stop.is_set():  # nothing has been started yet\n", "    if False:\n"),),
        ("tests/integration/test_drill.py::test_an_end_before_the_fault_starts_nothing",),
    ),
    Plant(
        "command-that-outlives-its-drill",
        "sesacctl/drill/tether.py",
        (("    os.kill(os.getpid(), signal.SIGTERM)\n", "    os.kill(os.getpid(), 0)\n"),),
        ("tests/unit/drill/test_drill_tether.py::test_a_command_ends_in_order_with_who_started_it",),
    ),
    Plant(
        "drill-of-any-redis",
        "sesacctl/drill/local.py",
        (("if str(settings.redis_port) != local", "if str(settings.redis_port) == local"),),
        (f"{_LOCAL}::test_another_server_is_refused_with_the_variable",),
    ),
    Plant(
        "recovered-before-all-partitions-move",
        "sesacctl/drill/timeline.py",
        (("        if all(self._stored.get(key, 0) >= end", "        if any(self._stored.get(key, 0) >= end"),),
        (f"{_TIMELINE}::test_every_partition_stores_what_was_sent_before_it_is_over",),
    ),
)
