"""One storm from its first row to its verdict."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sesacctl.drill.children import Exit
from tests.faults import audits, evidence, foreign, oracle
from tests.faults.audits import Audited
from tests.faults.fault import Kind, Scene
from tests.faults.footprint import Footprint
from tests.faults.ledger_lines import KINDS
from tests.faults.oracle import Verdict
from tests.faults.sampler import Sampler
from tests.faults.site import Site
from tests.faults.storm import Weather, blow
from tests.helpers.waiting import wait_until

START_SECONDS = 120.0
DRAIN_SECONDS = 240.0
_ENDED_WELL = {"producer": (0, 5), "supervisor": (0,), "second": (0,), "refresher": (0,)}  # 5: unacknowledged, and said


_UNREACHABLE, _BEGIN_SECONDS = 4, 20.0


@dataclass(slots=True)
class Outcome:
    """What came of a storm. `problems` is empty if the promise was kept."""

    seed: int
    seconds: float = 0.0
    weather: Weather = field(default_factory=Weather)
    verdict: Verdict = field(default_factory=Verdict)
    audited: list[Audited] = field(default_factory=list)
    samples: int = 0
    cache_looks: int = 0
    load: float = 0.0  # of the machine, the mean of 15 minutes
    drift: dict[str, tuple[float, float, float, float]] = field(default_factory=dict)
    losses: dict[str, list[str]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def storm(
    site: Site, seed: int, kinds: Sequence[Kind], *, stop: Callable[[Weather], bool], pause: float = 1.0,
    longest_hold: float = float("inf"), said: Callable[[str], None] = lambda _text: None,
) -> Outcome:  # fmt: skip
    """Start the loop, have the faults, let it come to rest, and judge."""
    outcome, began = Outcome(seed), time.monotonic()
    before = oracle.seeded(site)
    with closing(Sampler(site)) as sampler, closing(Footprint(site)) as footprint:
        site.start()
        first = sampler.watch(time.time())
        wait_until(lambda: first.all_seconds is not None, START_SECONDS, "the loop does not store anything")
        said(f"the loop runs; its faults are those of seed {seed}")
        with _hostile(site, seed):
            outcome.weather = blow(
                Scene(site, sampler), seed, kinds, stop=stop, pause=pause, longest_hold=longest_hold, said=said
            )
        outcome.problems += [f"stuck: {each}" for each in outcome.weather.stuck]
        outcome.problems += _calm(site, sampler)
        outcome.drift = footprint.drift()
        outcome.samples, outcome.cache_looks = sampler.samples, sampler.cache_looks
    outcome.problems += [f"sampled: {each}" for each in sampler.violations]
    outcome.problems += [f"{each.name} ended by itself with {each.code}: {each.last_words}" for each in strange(site)]
    outcome.verdict = oracle.judge(site, before)
    outcome.audited = audits.audit(site)
    outcome.problems += audits.disagreements(outcome.audited, clean=outcome.verdict.is_clean)
    for what, number in outcome.verdict.wrong.items():
        outcome.problems.append(f"{number} {what}: {'; '.join(outcome.verdict.examples[what])}")
    outcome.seconds, outcome.load = time.monotonic() - began, os.getloadavg()[2]
    return outcome


@contextmanager
def _hostile(site: Site, seed: int) -> Iterator[None]:
    """The share of hostile messages that `Load` names, sent all the time."""
    done = threading.Event()
    sender = foreign.Hostile(site, seed)

    def run() -> None:
        while not done.wait(1 / (site.load.rate * site.load.hostile)):
            with suppress(BufferError):  # the brokers are away
                sender.send()

    thread = threading.Thread(target=run, daemon=True)
    if site.load.hostile:
        thread.start()
    try:
        yield
    finally:
        done.set()
        if site.load.hostile:
            thread.join(60)
        sender.flush()


def _calm(site: Site, sampler: Sampler) -> Iterator[str]:
    """Make all well, end what makes orders, wait until everything is stored, and end the rest; what goes wrong."""
    if site.own is not None:
        site.own.complete()
    for proxy in site.proxies.values():
        proxy.heal()
    yield from _end(site, "producer")
    try:
        wait_until(lambda: _is_drained(site), DRAIN_SECONDS)
    except AssertionError:
        yield f"not everything is stored after {DRAIN_SECONDS:.0f} s"
    try:
        wait_until(lambda: sampler.cache_is_full, DRAIN_SECONDS)
    except AssertionError:
        yield "the cache is not full again"
    for name in ("second", "supervisor", "refresher"):
        yield from _end(site, name)


def _end(site: Site, name: str) -> Iterator[str]:
    child = site.children[name]
    if child.pid is None and not child.wanted:
        return
    wait_until(lambda: _listens(child.pid), START_SECONDS, f"{name} does not run")
    code = child.end()
    if code not in _ENDED_WELL[name]:
        yield f"{name} ended with {code} at last: {child.errors.read_text(errors='replace')[-500:]}"


def _listens(pid: int | None) -> bool:
    """Whether it has got as far as to end well when it is asked to: SIGTERM ends a Python that is still starting."""
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii", errors="replace")
    except OSError:
        return False
    caught = re.search(r"^SigCgt:\s+([0-9a-f]+)$", status, re.MULTILINE)
    return caught is not None and bool(int(caught[1], 16) >> (signal.SIGTERM - 1) & 1)


def strange(site: Site) -> list[Exit]:
    """Ends that nobody asked for, of commands that were at work: one that begins may find a server away, and say so."""
    return [
        each
        for each in site.exits
        if not each.asked and not (each.code == _UNREACHABLE and each.lived_seconds < _BEGIN_SECONDS)
    ]


def _is_drained(site: Site) -> bool:
    with _reader(site) as reader:
        for kind in KINDS:
            topic = site.topic(kind)
            stored = site.stored(kind)
            for number, (low, high) in evidence.watermarks(reader, topic).items():
                if high > low and stored.get(number, -1) < high:
                    return False
    return True


@contextmanager
def _reader(site: Site) -> Iterator[Any]:
    made = evidence.consumer(site)
    try:
        yield made
    finally:
        made.close()
