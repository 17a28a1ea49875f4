"""N consumer processes: started, watched, restarted, drained."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from threading import Event

from kafka.admin import MemberToRemove
from kafka.errors import KafkaError

from sesacctl.broker.clients import admin
from sesacctl.errors import CannotKeepAlive, SesacctlError
from sesacctl.events import PARTITIONS
from sesacctl.pipeline.batch import Counts
from sesacctl.pipeline.heartbeat import Heartbeat
from sesacctl.pipeline.identity import Identity
from sesacctl.pipeline.instance_process import Fatal, InstanceOptions
from sesacctl.pipeline.instance_process import main as instance_main
from sesacctl.pipeline.latency import Latency
from sesacctl.pipeline.members import ConsumeReport, Member
from sesacctl.pipeline.status import Status
from sesacctl.settings import Settings

log = logging.getLogger(__name__)

DRAIN_SECONDS = 10.0
SILENCE_SECONDS = 60.0  # above the bound of every wait that an instance has
HEALTHY_SECONDS = 10.0
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
        """`done` is asked about twice a second: True ends the run as SIGTERM would.

        `crash_at` names a checkpoint at which instance 0 kills itself the first time, for fault tests.
        """
        self._settings = settings
        self._park_seconds = park_seconds
        self._accept_gap = accept_gap
        self._kinds = kinds
        self._crash_at = crash_at
        self._done = done
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["sesacctl.pipeline.instance_process"])
        self._left = None if max_messages is None else self._context.Value("q", max_messages)
        self._max_messages = max_messages
        self._members = [Member(number) for number in range(instances)]
        self._latency = Latency()
        self._started = self._reported = self._asked = 0.0
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
                self._drain()
                self._leave_group(identity)
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
            crash_at=self._crash_at if member.number == 0 and member.starts == 0 else None,
        )
        member.process = self._context.Process(
            target=instance_main, args=(options, theirs, self._left), name=f"consumer-{member.number}", daemon=True
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
                message = member.pipe.recv()
                if isinstance(message, Fatal):
                    raise message.error
                member.heard, member.status = time.monotonic(), message
                member.counts.add(message.counts)
                self._latency.add(message.latency)
        except (EOFError, OSError):
            member.pipe.close()
            member.pipe = None

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
        now = time.monotonic()
        member.failures = 1 if now - member.started > HEALTHY_SECONDS else member.failures + 1
        if member.failures >= MOST_FAILURES:
            raise CannotKeepAlive(f"instance {member.number} died {member.failures} times in a row, exit code {code}")
        # At once the first time: its partitions stand still until it is back.
        member.start_at = now + (0 if member.failures == 1 else min(10.0, 0.25 * 2**member.failures))
        log.warning(
            "instance %s died with exit code %s; starting it again", member.number, code,
            extra={"action": "consume.restart"},
        )  # fmt: skip

    def _finished(self) -> bool:
        if self._left is not None and self._left.value <= 0:
            stored = sum(member.counts.offsets for member in self._members)
            return stored >= (self._max_messages or 0)
        now = time.monotonic()
        if self._done is None or now - self._asked < 0.5:
            return False
        self._asked = now
        try:
            return self._done()
        except SesacctlError as error:
            if not error.retriable:
                raise
            return False

    # ---- the end

    def _drain(self) -> None:
        alive = [member for member in self._members if member.process is not None]
        for member in alive:
            member.process.terminate()
        deadline = time.monotonic() + DRAIN_SECONDS
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

    def _leave_group(self, identity: Identity) -> None:
        """Static members send no LeaveGroup: without this their partitions would wait for the session timeout."""
        members = [MemberToRemove(group_instance_id=identity.member(member.number)) for member in self._members]
        try:
            client = admin(self._settings)
        except SesacctlError as error:
            log.warning("leaving the group: %s", error, extra={"action": "consume.leave"})
            return
        try:
            client.remove_group_members(self._settings.kafka_group, members)
        except KafkaError as error:
            log.debug("leaving the group: %s", error, extra={"action": "consume.leave"})
        finally:
            client.close()
