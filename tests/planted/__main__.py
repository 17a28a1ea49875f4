"""`python -m tests.planted`: every plant, caught or missed, and by what; exit code 5 if one of them is not caught."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.helpers import servers
from tests.planted.plant import Plant
from tests.planted.plants import PLANTS
from tests.planted.running import CAUGHT, Verdict, baseline, judge, unfounded

NOT_CAUGHT = 5


@contextmanager
def _home() -> Iterator[Path]:
    """Of the stack that SESAC_TEST_HOME names, else of one for this run."""
    if given := os.environ.get("SESAC_TEST_HOME"):
        yield Path(given).resolve()
        return
    with tempfile.TemporaryDirectory(prefix="sesac-") as parent:
        home = Path(parent, ".sesac")
        try:
            servers.up(home)
            yield home
        finally:
            if home.exists():
                servers.down(home)


def _show(plant: Plant, verdict: Verdict) -> None:
    line = f"{plant.room:22} {plant.name:40} {verdict.state:6} {verdict.seconds:6.1f} s  {verdict.detail}"
    print(line.rstrip(), flush=True)


def main() -> int:
    """Run what the command line names, and tell the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.planted", description=__doc__)
    names = sorted({name for plant in PLANTS for name in (plant.name, plant.room)})
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help="a plant or a room; repeatable")
    only = parser.parse_args().only or names
    plants = [plant for plant in PLANTS if plant.name in only or plant.room in only]
    with _home() as home:
        red = baseline(sorted({test for plant in plants for test in plant.tests}), home)
        verdicts = []
        for plant in plants:
            verdicts.append(judge(plant, home) if red.isdisjoint(plant.tests) else unfounded(plant, red))
            _show(plant, verdicts[-1])
    caught = sum(verdict.state == CAUGHT for verdict in verdicts)
    print(f"{caught} of {len(verdicts)} plants are caught")
    return 0 if caught == len(verdicts) else NOT_CAUGHT


if __name__ == "__main__":
    sys.exit(main())
