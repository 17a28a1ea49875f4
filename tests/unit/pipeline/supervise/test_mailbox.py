"""What instances tell a supervisor that reads, that does not, and that is gone."""

from __future__ import annotations

import multiprocessing
import threading
from dataclasses import replace
from multiprocessing.connection import Connection

from sesacctl.pipeline.consume.activity import Activity
from sesacctl.pipeline.consume.status import Status
from sesacctl.pipeline.latency import Latency
from sesacctl.pipeline.sink.counts import Counts
from sesacctl.pipeline.supervise.budget import Take
from sesacctl.pipeline.supervise.mailbox import Mailbox
from sesacctl.pipeline.supervise.messages import Crash


def status(state: str = "running") -> Status:
    """One that accounts for one event of one millisecond."""
    latency = Latency()
    latency.observe(1, [0])
    return Status(7, state=state, counts=Counts(stored=1), latency=latency)


def read_all(pipe: Connection) -> list[object]:
    found: list[object] = []
    while pipe.poll():
        found.append(pipe.recv())
    return found


def test_an_idle_supervisor_blocks_nothing_and_loses_no_count() -> None:
    supervisor, theirs = multiprocessing.Pipe()
    mailbox = Mailbox(theirs)

    def report_often() -> None:
        for number in range(5_000):
            mailbox.report(status(f"state {number}"))

    reporting = threading.Thread(target=report_often, daemon=True)
    reporting.start()
    reporting.join(30)
    assert not reporting.is_alive(), "it waits for the supervisor"
    [first] = read_all(supervisor)
    mailbox.on_status_read()
    [second] = read_all(supervisor)
    assert isinstance(first, Status)
    assert isinstance(second, Status)
    assert (first.counts.stored, second.counts.stored, second.latency.buckets.total()) == (1, 4_999, 4_999)
    assert second.state == "state 4999"


def test_messages_arrive_after_the_reports_before_them() -> None:
    supervisor, theirs = multiprocessing.Pipe()
    mailbox = Mailbox(theirs)
    for _ in range(3):
        mailbox.report(status())
    mailbox.send(Take(5))
    mailbox.report(status())
    mailbox.close()
    found = read_all(supervisor)
    counts = [each.counts.stored if isinstance(each, Status) else each for each in found]
    assert counts == [1, 2, Take(5), 1]


def test_a_status_may_be_changed_after_it_was_reported() -> None:
    supervisor, theirs = multiprocessing.Pipe()
    mailbox, live = Mailbox(theirs), status()
    for _ in range(3):
        mailbox.report(live)
        live.counts, live.latency = Counts(stored=1), Latency()
    mailbox.close()
    assert sum(each.counts.stored for each in read_all(supervisor) if isinstance(each, Status)) == 3


def test_a_vanished_supervisor_is_not_an_error() -> None:
    supervisor, theirs = multiprocessing.Pipe()
    supervisor.close()
    mailbox = Mailbox(theirs)
    mailbox.report(status())
    mailbox.send(Take(1))


def crash(offset: int) -> Crash:
    try:
        int(f"offset\n{offset}")
    except ValueError as error:
        return Crash.of(error)
    raise AssertionError("it is no number")


def test_a_crash_is_one_line_that_identifies_it() -> None:
    first, second = crash(1), crash(2)
    assert str(first).startswith("ValueError: invalid literal for int() with base 10: 'offset\\n1' (test_mailbox.py:")
    assert second.is_same(first)
    assert not replace(second, where="elsewhere.py:1").is_same(first)
    assert not first.is_same(None)
    assert "test_mailbox.py" in first.traceback


def test_no_activity_is_lost_while_nobody_reads() -> None:
    supervisor, theirs = multiprocessing.Pipe()
    mailbox = Mailbox(theirs)
    for _ in range(5):
        done = Activity(rebalances=1)
        done.count("orders", Counts(stored=2))
        done.measures.seconds["commit"].observe(0.1)
        mailbox.report(replace(status(), activity=done))
    [first] = read_all(supervisor)
    mailbox.on_status_read()
    [second] = read_all(supervisor)
    assert isinstance(first, Status)
    assert isinstance(second, Status)
    total = first.activity
    total.add(second.activity)
    assert (total.rebalances, total.events) == (5, {("orders", "stored"): 10})
    assert sum(total.measures.seconds["commit"].counts) == 5
