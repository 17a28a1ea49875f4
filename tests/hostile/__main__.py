"""`python -m tests.hostile`: every absurd value, `.env` and wrong server there is, and a verdict.

Exit code 5 if a command ended with a traceback, hung, or did not say what was wrong. With `SESAC_TEST_HOME`, on the
stack that runs there.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sesacctl.broker import topics
from tests.helpers import servers
from tests.helpers.servers import NOWHERE, RunningStack
from tests.hostile import env_files, lines, places, running, values
from tests.hostile.running import Ended

BROKEN = 5
_TOGETHER = 2_000


def main() -> int:
    """Run what the command line names, and tell the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.hostile", description=__doc__)
    parser.add_argument("--only", action="append", choices=PARTS, default=[], help="repeatable")
    parser.add_argument(
        "--seed", type=int, default=int(time.strftime("%Y%m%d")), help="of the options that are combined"
    )
    given = parser.parse_args()
    folder, wrong = Path(tempfile.mkdtemp(prefix="sesac-hostile-")), 0
    try:
        for name in given.only or PARTS:
            own = folder / name
            own.mkdir()
            began = time.monotonic()
            ended = PARTS[name](own, given.seed)
            found = running.faults(ended)
            wrong += len(found)
            print(f"{name}: {len(ended)} command lines in {time.monotonic() - began:.0f} s, {len(found)} at fault")
            print("".join(f"  {each}\n" for each in found), end="", flush=True)
    finally:
        shutil.rmtree(folder)
    return BROKEN if wrong else 0


def _values(folder: Path, _seed: int) -> list[Ended]:
    things = values.make_things(folder / "things")
    return running.run(lines.with_values(things), folder / "work", NOWHERE)


def _together(folder: Path, seed: int) -> list[Ended]:
    things = values.make_things(folder / "things")
    return running.run(lines.combined(seed, things, _TOGETHER), folder / "work", NOWHERE)


def _files(folder: Path, _seed: int) -> list[Ended]:
    return running.run(list(env_files.with_files()), folder / "work", NOWHERE)


def _settings(folder: Path, _seed: int) -> list[Ended]:
    return running.run(list(env_files.with_settings()), folder / "work", NOWHERE)


def _servers(folder: Path, _seed: int) -> list[Ended]:
    given = os.environ.get("SESAC_TEST_HOME")
    home = Path(given) if given else folder / ".sesac"
    stack = RunningStack(home) if given else servers.up(home)
    try:
        with stack.slice() as part, places.ports(part.environment) as found:
            topics.init(part.settings)
            return running.run(places.lines(found), folder / "work", part.environment, at_once=6, patient=True)
    finally:
        stack.close()
        if not given:
            servers.down(home)


PARTS: dict[str, Callable[[Path, int], list[Ended]]] = {
    "values": _values,
    "together": _together,
    "files": _files,
    "settings": _settings,
    "servers": _servers,
}

if __name__ == "__main__":
    sys.exit(main())
