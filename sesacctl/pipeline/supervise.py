"""N consumer processes: started, watched, restarted, drained."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from threading import Event

from sesacctl.errors import CannotKeepAlive, SesacctlError
from sesacctl.events import PARTITIONS
from sesacctl.pipeline.allowance import Allowance, GiveBack, Take, stored_events
from sesacctl.pipeline.asking import Asking
from sesacctl.pipeline.batch import Counts
from sesacctl.pipeline.heartbeat import Heartbeat
from sesacctl.pipeline.identity import Identity
from sesacctl.pipeline.instance_process import Fatal, InstanceOptions, Stop
from sesacctl.pipeline.instance_process import main as instance_main
from sesacctl.pipeline.latency import Latency
from sesacctl.pipeline.leaving import leave_group
from sesacctl.pipeline.members import ConsumeReport, Member
from sesacctl.pipeline.status import Status
from sesacctl.settings import Settings

log = logging.getLogger(__name__)

DRAIN_SECONDS = 10.0
LEAVE_SECONDS = 2.0  # of the drain, kept for leaving the group
SILENCE_SECONDS = 60.0  # above the bound of every wait that an instance has
BEAT_SECONDS = 15.0  # `health --live`: longer than a drain
MOST_FAILURES = 8
_TICK_SECONDS = 0.2


class Supervisor:
    """Keeps `instances` consumers running for one group.

    An instance that dies is started again under the same member id: it owns its partitions again at once, and no
    other one moves. One that says nothing for `SILENCE_SECONDS` is killed; waiting for a server is said, too.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        instances: int,
        park_seconds: float = 600.0,
        accept_gap: bool = False,
        max_messages: int | None = None,
        kinds: tuple[str, ...] = tuple(PARTITIONS),
        crash_at: str | None = None,
        done: Callable[[], bool] | None = None,
    ) -> None:
        """`done` is asked about twice a second, in another thread: True ends the run as SIGTERM would.

        `crash_at` names a checkpoint at which instance 0 kills itself the first time, for fault tests.

        Raises:
            ServerUnreachable, ServerRefused, SchemaNotAtHead: with `max_messages`, as PostgreSQL's counters are read.
        """
        self._settings = settings
        self._park_seconds = park_seconds
        self._accept_gap = accept_gap
        self._kinds = kinds
        self._crash_at = crash_at
        self._done = None if done is None else Asking(done)
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["sesacctl.pipeline.forkserver"])
        self._allowance = None
        if max_messages is not None:
            self._allowance = Allowance(max_messages, lambda: stored_events(settings, kinds))
        self._members = [Member(number) for number in range(instances)]
        self._latency = Latency()
        self._started = self._reported = 0.0
        self._reported_events = 0
        most = sum(PARTITIONS[kind] for kind in kinds)
        if instances > most:
            log.warning(
                "%s instances for %s partitions: %s will be idle", instances, most, instances - most,
                extra={"action": "consume.idle"},
            )  # fmt: skip

    def run(
        self, stop: Event, *, on_report: Callable[[ConsumeReport], None] = lambda report: None, interval: float = 5.0
    ) -> ConsumeReport:
        """Supervise until `stop` is set, or the work is done; `on_report` is called every `interval` seconds.

        Raises:
            SesacctlError: what an instance could not go on with, or CannotKeepAlive; all others were drained.
        """
        self._started = self._reported = time.monotonic()
        home = self._settings.sesac_home.expanduser().absolute()
        with Identity(home) as identity, Heartbeat(home, "consume") as heartbeat:
            try:
                while not stop.is_set() and not self._finished():
                    self._start_due(identity)
                    self._listen(_TICK_SECONDS)
                    self._watch()
                    heartbeat.beat(BEAT_SECONDS)
                    if time.monotonic() - self._reported >= interval:
                        on_report(self.report())
            finally:
                self._drain(identity)
        return self.report()

    def report(self) -> ConsumeReport:
        """The figures now."""
        totals = Counts()
        for member in self._members:
            totals.add(member.counts)
        now = time.monotonic()
        events, window = totals.offsets, now - self._reported
        rate = (events - self._reported_events) / window if window else 0.0
        self._reported, self._reported_events = now, events
        return ConsumeReport(
            instances=[member.line(window) for member in self._members],
            totals=totals,
            events=events,
            seconds=round(now - self._started, 3),
            rate=round(rate, 1),
            restarts=sum(member.restarts for member in self._members),
            latency_p50_ms=self._latency.percentile(50),
            latency_p95_ms=self._latency.percentile(95),
            latency_p99_ms=self._latency.percentile(99),
        )

    # ---- the life of a member

    def _start_due(self, identity: Identity) -> None:
        now = time.monotonic()
        for member in self._members:
            if member.process is None and now >= member.start_at:
                self._start(member, identity)

    def _start(self, member: Member, identity: Identity) -> None:
        ours, theirs = self._context.Pipe()
        options = InstanceOptions(
            settings=self._settings,
            kinds=self._kinds,
            number=member.number,
            member_id=identity.member(member.number),
            park_seconds=self._park_seconds,
            accept_gap=self._accept_gap,
            on_budget=self._allowance is not None,
            crash_at=self._crash_at if member.number == 0 and member.starts == 0 else None,
        )
        member.process = self._context.Process(
            target=instance_main, args=(options, theirs), name=f"consumer-{member.number}", daemon=True
        )
        member.process.start()
        theirs.close()  # so that ours ends when the instance does
        member.pipe = ours
        member.starts += 1
        member.started = member.heard = time.monotonic()
        member.status = Status(member.number)

    def _listen(self, seconds: float) -> None:
        pipes = {member.pipe: member for member in self._members if member.pipe is not None}
        for pipe in wait(list(pipes), timeout=seconds):
            assert isinstance(pipe, Connection)
            self._read(pipes[pipe])

    def _read(self, member: Member) -> None:
        assert member.pipe is not None
        try:
            while member.pipe.poll():
                self._take_in(member, member.pipe.recv())
        except (EOFError, OSError):
            member.pipe.close()
            member.pipe = None

    def _take_in(self, member: Member, message: object) -> None:
        if isinstance(message, Fatal):
            raise message.error
        if isinstance(message, Status):
            member.hear(message)
            self._latency.add(message.latency)
        if self._allowance is None:
            return
        if isinstance(message, Take):
            member.tell(self._allowance.take(member.number, message.most))
        elif isinstance(message, GiveBack):
            self._allowance.lost(member.number)
        else:
            self._allowance.used(member.number)  # an instance reports between its steps

    def _watch(self) -> None:
        now = time.monotonic()
        for member in self._members:
            if member.process is None:
                continue
            if member.process.is_alive():
                if now - member.heard > SILENCE_SECONDS:
                    log.error(
                        "instance %s makes no progress; killing it", member.number, extra={"action": "consume.kill"}
                    )
                    member.process.kill()
                continue
            self._bury(member)

    def _bury(self, member: Member) -> None:
        if member.pipe is not None:
            self._read(member)  # its last words
        code = member.process.exitcode
        member.process.join()
        member.process = None
        if self._allowance is not None:
            self._allowance.lost(member.number)
        member.died()
        if member.failures >= MOST_FAILURES:
            raise CannotKeepAlive(f"instance {member.number} died {member.failures} times in a row, exit code {code}")
        log.warning(
            "instance %s died with exit code %s; starting it again", member.number, code,
            extra={"action": "consume.restart"},
        )  # fmt: skip

    def _finished(self) -> bool:
        if self._allowance is not None and self._allowance.spent():
            return True
        return self._done is not None and bool(self._done.answer())

    # ---- the end

    def _drain(self, identity: Identity) -> None:
        """End all instances and leave the group, within `DRAIN_SECONDS` in all."""
        deadline = time.monotonic() + DRAIN_SECONDS
        self._end_members(deadline - LEAVE_SECONDS)
        members = [identity.member(member.number) for member in self._members]
        leave_group(self._settings, members, seconds=max(0.1, deadline - time.monotonic()))

    def _end_members(self, deadline: float) -> None:
        alive = [member for member in self._members if member.process is not None]
        for member in alive:
            member.tell(Stop())
        while any(member.process.is_alive() for member in alive) and time.monotonic() < deadline:
            self._listen_to_the_end()
        for member in alive:
            if member.process.is_alive():
                log.error(
                    "instance %s did not drain in time; killing it", member.number, extra={"action": "consume.kill"}
                )
                member.process.kill()
            member.process.join()
            self._listen_to_the_end()

    def _listen_to_the_end(self) -> None:
        try:
            self._listen(0.05)
        except SesacctlError as error:
            log.warning("while draining: %s", error, extra={"action": "consume.drain"})
