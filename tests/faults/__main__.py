"""`python -m tests.faults --seed N --minutes M`: a storm of faults on a loop of its own, and a verdict.

Exit code 5 if the promise was broken, or an audit does not agree with the oracle.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.faults import hosts, kinds, losses, results
from tests.faults.fault import Kind
from tests.faults.run import Outcome, storm
from tests.faults.site import Load, on_own_stack
from tests.faults.stack_control import OwnStack

BROKEN = 5


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument(
        "--seed", type=int, action="append", dest="seeds", metavar="NUMBER", help="default: the day; repeatable"
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="how long faults are injected, for each seed")
    parser.add_argument("--faults", type=int, help="stop after so many")
    parser.add_argument("--only", action="append", default=[], metavar="KIND", help="a kind or a room; repeatable")
    parser.add_argument("--instances", type=int, default=Load().instances)
    parser.add_argument("--rate", type=float, default=Load().rate, help="orders per second")
    parser.add_argument("--results", type=Path, help="a file to write the result into, as Markdown")
    parser.add_argument("--keep", type=Path, help="a folder for the timeline and the logs; default: none is kept")
    parser.add_argument("--without-primary-key", action="store_true", help="orders that are stored twice are seen")
    parser.add_argument("--losses", action="store_true", help="then lose data for good, and see that all audits tell")
    parser.add_argument("--hosts", action="store_true", help="three hosts with a broker each, and partitions of them")
    parser.add_argument("--list", action="store_true", help="show all kinds, and end")
    given = parser.parse_args()
    given.seeds = given.seeds or [int(time.strftime("%Y%m%d"))]
    return given


def main() -> int:
    """Run what the command line names, and tell the exit code."""
    given = _arguments()
    try:
        chosen = kinds.chosen(given.only, repeats=not given.without_primary_key, on_hosts=given.hosts)
    except KeyError as error:
        print(f"there is no kind {error}; see --list", file=sys.stderr)
        return 2
    if given.list:
        print("\n".join(kind.name for kind in chosen))
        return 0
    for name, reason in kinds.missing().items():
        print(f"left out: {name}, as {reason}", flush=True)
    if given.hosts and (reason := hosts.why_not()):
        print(f"left out: several hosts, as {reason}")
        return 0
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup has it ignored, and children would inherit that
    for how in (signal.SIGINT, signal.SIGTERM):
        signal.signal(how, _end)  # servers, mounts and namespaces do not stay behind
    parent = Path(tempfile.mkdtemp(prefix="sesac-storm-"))
    folder = given.keep.resolve() if given.keep else parent / "work"
    folder.mkdir(parents=True, exist_ok=True)
    own = OwnStack(parent / ".sesac")
    try:
        own.up()
        if given.hosts:
            made = hosts.Hosts()
            made.create()
            own.spread(made)
        outcomes: list[Outcome] = []
        for number in range(len(given.seeds)):
            outcomes.append(_storm(own, folder, given, chosen, number))
            _write(given, outcomes, own)
        for number, outcome in enumerate(outcomes if given.losses else ()):
            first = len(outcomes) + number * len(losses.LOSSES)
            outcome.losses = _losses(own, folder / f"losses-{outcome.seed}", first)
            outcome.problems += [problem for found in outcome.losses.values() for problem in found]
            _write(given, outcomes, own)
    finally:
        own.close()
        shutil.rmtree(parent, ignore_errors=True)
    return BROKEN if any(outcome.problems for outcome in outcomes) else 0


def _end(number: int, _frame: object) -> None:
    sys.exit(128 + number)


def _write(given: argparse.Namespace, outcomes: list[Outcome], own: OwnStack) -> None:
    """After each part: what comes later may fail."""
    if given.results:
        results.write(given.results, outcomes, own.versions)


def _load(given: argparse.Namespace) -> Load:
    if given.without_primary_key:
        return Load(instances=given.instances, rate=given.rate, hostile=0, primary_key=False)
    return Load(instances=given.instances, rate=given.rate)


def _storm(own: OwnStack, folder: Path, given: argparse.Namespace, chosen: list[Kind], number: int) -> Outcome:
    seed = given.seeds[number]
    site = on_own_stack(folder / f"seed-{seed}", own, _load(given), part=number)
    try:
        site.prepare()
        end = time.monotonic() + given.minutes * 60
        outcome = storm(
            site,
            seed,
            chosen,
            stop=lambda weather: (
                time.monotonic() >= end or (given.faults is not None and len(weather.struck) >= given.faults)
            ),
            said=lambda text: print(text, flush=True),
        )
    finally:
        site.close()
    print(results.summary(outcome), flush=True)
    return outcome


def _losses(own: OwnStack, folder: Path, first: int) -> dict[str, list[str]]:
    """By its name, what is wrong with the verdicts on each."""
    problems: dict[str, list[str]] = {}
    for number, kind in enumerate(losses.LOSSES, first):
        site = on_own_stack(folder / kind.name, own, losses.LOAD, part=number)
        try:
            found = list(losses.prove(kind(site)))
        finally:
            site.close()
        print(f"lost by {kind.name}: {'told' if not found else '; '.join(found)}", flush=True)
        problems[kind.name] = found
    return problems


if __name__ == "__main__":
    sys.exit(main())
