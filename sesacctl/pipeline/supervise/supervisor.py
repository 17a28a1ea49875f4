"""N consumer processes: started, watched, restarted, drained."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from threading import Event

from sesacctl.broker.groups import leave_group
from sesacctl.errors import CannotKeepAlive, SesacctlError
from sesacctl.events import PARTITIONS, Kind
from sesacctl.heartbeat import Heartbeat
from sesacctl.pipeline.consume.status import Status
from sesacctl.pipeline.supervise import prerequisites
from sesacctl.pipeline.supervise.background import BackgroundPoll
from sesacctl.pipeline.supervise.budget import Allowance, InDoubt, Take, stored_events
from sesacctl.pipeline.supervise.group_watch import GroupWatch
from sesacctl.pipeline.supervise.member import EXIT_SECONDS, ConsumeFigures, ConsumeReport, Figures, Member
from sesacctl.pipeline.supervise.member_ids import Identity
from sesacctl.pipeline.supervise.messages import Crash, FatalError, IdentityTaken, InstanceTraceback, StatusRead, Stop
from sesacctl.pipeline.supervise.process import InstanceOptions
from sesacctl.pipeline.supervise.starter import Starter
from sesacctl.settings import Settings

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 10.0
LEAVE_SECONDS = 2.0  # of the drain, kept for leaving the group
SILENCE_SECONDS = 60.0  # above the bound of every wait that an instance has
BEAT_SECONDS = 15.0  # `health --live`: longer than a drain
MOST_FAILURES = 8
SAME_FAILURES = 3  # in a row, with nothing stored between: the next try will end so, too
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
        kinds: tuple[Kind, ...] = tuple(PARTITIONS),
        crash_at: str | None = None,
        fail_at: str | None = None,
        done: Callable[[], bool] | None = None,
    ) -> None:
        """`done` is asked about twice a second, in another thread: True ends the run as SIGTERM would.

        For fault tests: `crash_at` names a checkpoint at which an instance kills itself in its first life, `fail_at`
        one at which instance 0 raises an exception, each time.

        Raises:
            ServerUnreachable: with `max_messages`, for which the counters are read: PostgreSQL cannot be reached.
            ServerRefused: with `max_messages`: wrong credentials or a missing right.
            SchemaNotAtHead: with `max_messages`: the schema is not at the revision that this sesacctl needs.
        """
        self._settings = settings
        self._park_seconds = park_seconds
        self._accept_gap = accept_gap
        self._kinds = kinds
        self._crash_at = crash_at
        self._fail_at = fail_at
        self._done = None if done is None else BackgroundPoll(done)
        self._group = GroupWatch(settings)
        self._starter = Starter()
        self._allowance = None
        if max_messages is not None:
            self._allowance = Allowance(max_messages, lambda: stored_events(settings, kinds))
        self._members = [Member(number) for number in range(instances)]
        self._figures = Figures(self._members)
        self._figures.activity.begin([settings.topic(kind) for kind in kinds])
        self._crashes_shown: list[Crash] = []
        most = sum(PARTITIONS[kind] for kind in kinds)
        if instances > most:
            logger.warning(
                "%s instances: with the %s partitions that topics init makes, %s have nothing to do",
                instances, most, instances - most,
                extra={"action": "consume.idle"},
            )  # fmt: skip

    def run(
        self, stop: Event, *, on_report: Callable[[ConsumeReport], None] = lambda _: None, interval: float = 5.0
    ) -> ConsumeReport:
        """Supervise until `stop` is set, or the work is done; `on_report` is called every `interval` seconds.

        Raises:
            SesacctlError: what `prerequisites.require` misses, before anything is started; what an instance could not
                continue with, CannotKeepAlive or IdentityInUse, when all others were drained.
        """
        prerequisites.require(self._settings)
        self._figures.begin()
        home = self._settings.sesac_home.expanduser().absolute()
        with Identity(home, self._settings.sesac_member) as identity, Heartbeat(home, "consume") as heartbeat:
            try:
                while not stop.is_set() and not self._finished():
                    self._start_due(identity)
                    self._listen(_TICK_SECONDS)
                    if stop.is_set():  # a signal to the whole group: instances that end now have drained
                        break
                    self._watch(identity)
                    self._group.check()
                    heartbeat.beat(BEAT_SECONDS)
                    if self._figures.window >= interval:
                        on_report(self.report())
                        self._figures.begin_interval()
            finally:
                self._drain(identity)
        return self.report()

    def report(self) -> ConsumeReport:
        """The figures now; changes nothing, so that any thread may ask."""
        return self._figures.report()

    def everything(self) -> ConsumeFigures:
        """The report with what metrics have besides; to be asked in `on_report`."""
        return self._figures.everything()

    def problem(self) -> str | None:
        """Why it is not consuming with all its instances; None if it is. Any thread may ask, and no server is asked."""
        problems = ((member.number, member.problem()) for member in self._members)
        return next((f"instance {number}: {problem}" for number, problem in problems if problem), None)

    # ---- the life of a member

    def _start_due(self, identity: Identity) -> None:
        now = time.monotonic()
        for member in self._members:
            if not member.running and now >= member.start_at:
                self._start(member, identity)

    def _start(self, member: Member, identity: Identity) -> None:
        member.id = identity.member(member.number)
        options = InstanceOptions(
            settings=self._settings,
            kinds=self._kinds,
            number=member.number,
            member_id=member.id,
            park_seconds=self._park_seconds,
            accept_gap=self._accept_gap,
            on_budget=self._allowance is not None,
            reads_ahead=len(self._members) < (os.cpu_count() or 1),
            crash_at=self._crash_at if member.starts == 0 else None,
            fail_at=self._fail_at if member.number == 0 else None,
        )
        member.record_start(*self._starter.start(options))

    def _listen(self, seconds: float) -> None:
        pipes = {member.pipe: member for member in self._members if member.pipe is not None}
        for pipe in wait(list(pipes), timeout=seconds):
            assert isinstance(pipe, Connection)
            self._read(pipes[pipe])

    def _read(self, member: Member) -> None:
        assert member.pipe is not None
        try:
            while member.pipe.poll():
                self._handle_message(member, member.pipe.recv())
        except (EOFError, OSError):
            member.hang_up()

    def _handle_message(self, member: Member, message: object) -> None:
        if isinstance(message, Status):
            member.receive(message)
            self._figures.receive(message)
            member.send(StatusRead())
        elif isinstance(message, FatalError):
            member.record_last_words(str(message.error))
            raise message.error
        elif isinstance(message, IdentityTaken):
            member.taken = True
            member.record_last_words("another process has joined the group under its member id")
        elif isinstance(message, Crash):
            self._note_crash(member, message)
        if self._allowance is None:
            return
        if isinstance(message, Take):
            member.send(self._allowance.take(member.number, message.most))
        elif isinstance(message, InDoubt):
            self._allowance.in_doubt(member.number)
        elif isinstance(message, Status):
            self._allowance.confirmed(member.number)  # an instance reports between its steps

    def _note_crash(self, member: Member, crash: Crash) -> None:
        member.record_crash(crash)
        if any(crash.is_same(shown) for shown in self._crashes_shown):
            return
        self._crashes_shown.append(crash)
        logger.error(
            "instance %s failed: %s", member.number, crash,
            extra={"action": "consume.failed"}, exc_info=InstanceTraceback(crash.traceback),
        )  # fmt: skip

    def _watch(self, identity: Identity) -> None:
        for member in self._members:
            if member.running and member.pipe is None:
                self._handle_exit(member, identity)
            elif member.is_silent(SILENCE_SECONDS):
                logger.error(
                    "instance %s makes no progress; killing it", member.number, extra={"action": "consume.kill"}
                )
                member.kill()

    def _handle_exit(self, member: Member, identity: Identity) -> None:
        if self._allowance is not None:
            self._allowance.in_doubt(member.number)
        code, why = member.record_exit(), f": {member.last_words}" if member.last_words else ""
        if member.taken and member.number == 0:
            # Only instance 0 decides: of two supervisors with one identity, only one can have lost it.
            raise identity.in_use(self._settings.kafka_group)
        if member.crashes >= SAME_FAILURES:
            raise CannotKeepAlive(f"instance {member.number} failed {member.crashes} times in a row{why}")
        if member.failures >= MOST_FAILURES:
            raise CannotKeepAlive(
                f"instance {member.number} died {member.failures} times in a row, exit code {code}{why}"
            )
        if not member.taken:
            logger.warning(
                "instance %s died with exit code %s; starting it again%s", member.number, code, why,
                extra={"action": "consume.restart"},
            )  # fmt: skip

    def _finished(self) -> bool:
        if self._allowance is not None and self._allowance.exhausted():
            return True
        return self._done is not None and bool(self._done.answer())

    # ---- the end

    def _drain(self, identity: Identity) -> None:
        """End all instances and leave the group, within `DRAIN_SECONDS` in all."""
        deadline = time.monotonic() + DRAIN_SECONDS
        self._end_members(deadline - LEAVE_SECONDS)
        if any(member.taken for member in self._members):
            return  # those ids are another process's now
        members = [identity.member(member.number) for member in self._members]
        leave_group(self._settings, members, seconds=max(0.1, deadline - time.monotonic()))

    def _end_members(self, deadline: float) -> None:
        alive = [member for member in self._members if member.pipe is not None]
        for member in alive:
            member.send(Stop())
        while any(member.pipe is not None for member in alive) and time.monotonic() < deadline:
            self._listen_to_the_end()
        for member in alive:
            if member.pipe is not None:
                logger.error(
                    "instance %s did not drain in time; killing it", member.number, extra={"action": "consume.kill"}
                )
                member.kill()
            if member.process is not None:
                member.process.join(EXIT_SECONDS)
            self._listen_to_the_end()

    def _listen_to_the_end(self) -> None:
        try:
            self._listen(0.05)
        except SesacctlError as error:
            logger.warning("while draining: %s", error, extra={"action": "consume.drain"})
