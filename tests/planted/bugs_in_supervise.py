"""Bugs of the supervisor and the processes of its instances."""

from __future__ import annotations

from tests.planted.plant import Plant

_CONSUME_FAULTS = "tests/faults/test_consume_faults.py"
_PROCESS_GROUP = "tests/integration/test_process_group.py"
_SUPERVISE = "tests/integration/test_supervise.py"
_BUDGET = "tests/unit/pipeline/supervise/test_budget.py"

PLANTS: tuple[Plant, ...] = (
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
        (f"{_PROCESS_GROUP}::test_an_instance_leaves_the_terminals_signals_alone",),
    ),
    Plant(
        "fork-server-ends-on-sigterm",
        "sesacctl/pipeline/supervise/preload.py",
        (("signal.signal(signal.SIGTERM, signal.SIG_IGN)\n", ""),),
        (f"{_PROCESS_GROUP}::test_a_signal_to_the_group_drains[SIGTERM]",),
    ),
    Plant(
        "fork-server-ends-on-sighup",
        "sesacctl/pipeline/supervise/preload.py",
        (("signal.signal(signal.SIGHUP, signal.SIG_IGN)\n", ""),),
        (f"{_PROCESS_GROUP}::test_a_signal_to_the_group_drains[SIGHUP]",),
    ),
    Plant(
        "lost-grant-is-forgotten",
        "sesacctl/pipeline/supervise/budget.py",
        (("self._unsure |= self._granted.pop(member, 0) > 0", "self._granted.pop(member, 0)"),),
        (f"{_BUDGET}::test_a_grant_that_was_lost_is_settled_by_what_postgresql_has",),
    ),
    Plant(
        "stopped-instance-is-left-alone",
        "sesacctl/pipeline/supervise/member.py",
        (("return self.pipe is not None and time.monotonic()", "return self.pipe is None and time.monotonic()"),),
        (f"{_SUPERVISE}::test_an_instance_that_stands_still_is_killed_and_replaced",),
    ),
    Plant(
        "group-left-by-nobody",
        "sesacctl/pipeline/supervise/supervisor.py",
        (
            (
                "        leave_group(self._settings, members, seconds=max(0.1, deadline - time.monotonic()))",
                "        _ = leave_group, members",
            ),
        ),
        (f"{_SUPERVISE}::test_a_drained_group_has_no_members_and_no_lag",),
    ),
    Plant(
        "group-left-before-the-drain",
        "sesacctl/pipeline/supervise/supervisor.py",
        (
            (
                "        self._end_members(deadline - LEAVE_SECONDS)\n        if any(",
                (
                    "        leave_group(self._settings, [identity.member(each.number) for each in "
                    "self._members], seconds=LEAVE_SECONDS)\n"
                    "        self._end_members(deadline - LEAVE_SECONDS)\n"
                    "        if any("
                ),
            ),
            ("        leave_group(self._settings, members, seconds=max(", "        _ = (members, max("),
        ),
        (f"{_SUPERVISE}::test_a_drained_group_has_no_members_and_no_lag",),
    ),
    Plant(
        "supervisor-gone-and-instances-stay",
        "sesacctl/pipeline/supervise/process.py",
        (
            (
                (
                    "        stop.set()\n"
                    "        granted.put(0)\n"
                    "        threading.Event().wait(DRAIN_SECONDS)\n"
                    "        os._exit(1)"
                ),
                "        pass",
            ),
        ),
        (f"{_CONSUME_FAULTS}::test_a_killed_supervisor_takes_its_instances_with_it",),
    ),
)
