"""A drill from its begin to its verdict."""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from random import Random

from sesacctl.broker import topics
from sesacctl.database import init_db
from sesacctl.database.schema import revisions
from sesacctl.drill import faults, turning
from sesacctl.drill.children import Exit
from sesacctl.drill.faults import Fault, Scene
from sesacctl.drill.kinds import DrillKind
from sesacctl.drill.loop import REFRESH_SECONDS, Loop
from sesacctl.drill.stages import Moment, Stage, StageRecovery
from sesacctl.drill.turning import Turning
from sesacctl.drill.watch import Interrupted, Watch
from sesacctl.errors import CheckFailed, SchemaNotAtHead, TopicMissing, UsageError
from sesacctl.pipeline.audit.report import AuditResult, audit
from sesacctl.pipeline.audit.until_empty import UntilEmpty
from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.pipeline.sink.counts import Counts
from sesacctl.settings import Settings
from sesacctl.stack.control import SERVERS, ServerControl
from sesacctl.stack.filelock import file_lock
from sesacctl.stack.layout import Layout

logger = logging.getLogger(__name__)

RECOVER_SECONDS = 120.0
DRAIN_SECONDS = 120.0
_LOOK_SECONDS = 0.3
FOLDER = "drill"
"""Below the stack's logs: the ledgers, and what the drill's own commands print."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillResult:
    """What was done and seen; `ok` when the loop recovered, everything is stored, and the audit is clean.

    `recovered_seconds`: from the fault until all worked and what had been sent by then was stored; None if that did not
    come. `waiting`: the most events that waited in Kafka. `counts`: what became of events since the fault.
    `started`: the commands that the drill ran itself, as nobody else did.
    """

    kind: DrillKind
    seed: int
    ok: bool
    fault: str
    recovered_seconds: float | None
    waiting: int
    counts: Counts
    started: list[str]
    stages: list[StageRecovery]
    timeline: list[Moment]
    audit: AuditResult


OnStep = Callable[[str], None]


def drill(
    settings: Settings,
    home: Path,
    kind: DrillKind,
    *,
    seed: int,
    stop: threading.Event,
    on_step: OnStep = logger.info,
    on_moment: Callable[[Moment], None] = lambda _: None,
) -> DrillResult:
    """Have one fault on the stack in `home`, whose servers are those of the settings: see `local.require`.

    Whatever happens, servers run again and own processes have ended when it returns or raises.

    Raises:
        Interrupted: `stop` was set.
        UsageError: another drill runs here, or this kind needs consumers of its own and others run.
        CheckFailed: something was wrong before the fault: a server down, an audit that is not clean, a loop that does
            not turn.
        SesacctlError: a step before or after the fault failed; the error is that step's.
    """
    with _alone(Layout(home).logs / FOLDER) as folder:
        servers = ServerControl(home)
        _prepare(settings, on_step)
        found = _look(settings, home, kind, stop, on_step)
        with ExitStack() as undo:
            undo.callback(_restore, servers)
            exits: SimpleQueue[Exit] = SimpleQueue()
            loop = Loop(folder, found, seed=seed, on_exit=exits.put)
            undo.callback(loop.end)
            with Watch(settings, loop, exits, stop, on_moment) as watch:
                _start(loop, watch, on_step)
                scene = Scene(settings, servers, loop, Random(seed))
                fault = faults.make(kind, scene, all_move=lambda: watch.timeline.moves_again)
                undo.callback(fault.heal)
                _run(fault, watch)
                on_step("ending the orders, and waiting until all are stored")
                drained = _drain(settings, loop, watch)
                stages = watch.timeline.recoveries(time.monotonic())
            on_step("ending what the drill started, and auditing")
        result = audit(settings, ledgers=[path for path in loop.ledgers if path.exists()])
    recovered = _recovered(watch)
    return DrillResult(
        kind=kind,
        seed=seed,
        ok=result.ok and drained and recovered is not None,
        fault=fault.said,
        recovered_seconds=recovered,
        waiting=watch.timeline.most_waiting,
        counts=watch.timeline.counts,
        started=loop.own,
        stages=stages,
        timeline=watch.moments,
        audit=result,
    )


def _recovered(watch: Watch) -> float | None:
    began, recovered = watch.timeline.began, watch.timeline.recovered
    return None if began is None or recovered is None else round(recovered - began, 1)


@contextmanager
def _alone(folder: Path) -> Iterator[Path]:
    """An empty folder for one drill at a time on this stack."""

    def refuse() -> None:
        raise UsageError("another drill runs on this stack", hint="sesacctl top, until it has ended")

    folder.mkdir(parents=True, exist_ok=True)
    with file_lock(folder.with_suffix(".lock"), on_wait=refuse):
        shutil.rmtree(folder)
        folder.mkdir()
        yield folder


def _prepare(settings: Settings, on_step: OnStep) -> None:
    """Have tables, rows, topics and a cache where there are none; nothing that is there is changed."""
    if init_db.changes_existing(init_db.look(settings)):
        raise SchemaNotAtHead(f"the schema is not at {revisions.head()}")
    on_step("looking at tables, topics and cache")
    init_db.initialize(settings, with_seed=True)
    try:
        topics.require(settings)
    except TopicMissing:
        topics.init(settings)
    if turning.cache_is_empty(settings):
        with Refresher(settings) as refresher:
            refresher.run_once(period=REFRESH_SECONDS)
    if not audit(settings).ok:
        raise CheckFailed(
            "the audit is not clean before the drill: its verdict would say nothing", hint="sesacctl audit"
        )


def _look(settings: Settings, home: Path, kind: DrillKind, stop: threading.Event, on_step: OnStep) -> Turning:
    on_step("looking whether a loop turns already")
    found = turning.look(settings, home, stop)
    if stop.is_set():  # nothing has been started yet
        raise Interrupted
    if kind is DrillKind.SUPERVISOR and found.consumers:
        raise UsageError(
            "consumers run already: a supervisor that this drill kills is one that it has started itself, as only that"
            " one is started again",
            hint="end the consumers with Ctrl-C, then sesacctl drill supervisor",
        )
    return found


def _start(loop: Loop, watch: Watch, on_step: OnStep) -> None:
    for command in loop.own:
        on_step(f"starting: {command}")
    loop.start()
    on_step("waiting until the loop turns, and what was in Kafka before is stored")
    watch.until_it_turns()


def _run(fault: Fault, watch: Watch) -> None:
    """The fault, and what follows until the loop has recovered, or the time is up."""
    timeline = watch.timeline
    timeline.begin(time.monotonic())
    watch.tell(Stage.FAULT, fault.said, timeline.began)
    fault.inject()
    if fault.seconds:
        watch.until(fault.is_done, fault.seconds)
        watch.tell(Stage.FAULT, fault.end())
    fault.heal()
    timeline.heal(time.monotonic())
    if watch.until(lambda: timeline.is_over(time.monotonic()), RECOVER_SECONDS):
        watch.tell(Stage.FAULT, "over: everything that was sent until then is stored", timeline.recovered)
    else:
        watch.tell(Stage.FAULT, f"not over after {RECOVER_SECONDS:.0f} s: {timeline.trouble or 'events still wait'}")


def _drain(settings: Settings, loop: Loop, watch: Watch) -> bool:
    """Whether all that is in Kafka when the own producer has ended is stored in time."""
    watch.timeline.end_producing()
    loop.end_producing()
    empty = UntilEmpty(settings)
    looked = 0.0

    def is_empty() -> bool:
        nonlocal looked
        if time.monotonic() - looked < _LOOK_SECONDS:
            return False
        looked = time.monotonic()
        return empty()

    return watch.until(is_empty, DRAIN_SECONDS)


def _restore(servers: ServerControl) -> None:
    """Each server runs again, whatever came between."""
    for name in SERVERS:
        servers.restore(name)
