"""The real docker-compose.yml and Dockerfile in a real engine, from nothing to a drained stop: `make containers`.

Other images are stood in for (`images.py`); with --official they are pulled. Without an engine, one line says so, and
that is no failure. `--keep` leaves the containers; `--only up --only stop` runs some of the scenes.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from sesacctl.errors import OK, CheckFailed
from sesacctl.stack import jars
from tests.containers.engine import NoEngine, engine
from tests.containers.images import build_standins
from tests.containers.project import LEDGER_CONTAINER, Failed, Project
from tests.containers.scenes import SCENES

_BEGAN = time.monotonic()


def say(text: str) -> None:
    """A line, with the seconds since the start."""
    print(f"{time.monotonic() - _BEGAN:5.0f} s  {text}", flush=True)


def play(project: Project, names: list[str]) -> list[str]:
    """What failed. The first that fails is the last that is run."""
    for scene in SCENES:
        if names and scene.__name__ not in names:
            continue
        say(f"{scene.__name__}: {scene.__doc__}")
        try:
            scene(project, lambda text: say(f"  {text}"))
        except (Failed, subprocess.TimeoutExpired) as error:
            say(f"  FAILED: {error}")
            for service in project.services:
                print(project.compose("logs", "--tail", "15", service, check=False))
            return [scene.__name__]
    return []


def clean(project: Project) -> None:
    """Take all away, volumes too."""
    project.docker("rm", "-f", LEDGER_CONTAINER, check=False)
    project.compose("down", "-v", "--remove-orphans", check=False)


def main() -> int:
    """Exit code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--official", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--only", action="append", default=[], choices=[scene.__name__ for scene in SCENES])
    # Kept between runs: the engine's images take minutes.
    parser.add_argument("--folder", type=Path, default=jars.cache_folder().parent / "containers")
    options = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM):  # also in the background, where a shell has SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    try:
        with engine(options.folder) as environment:
            if not options.official:
                build_standins(options.folder, environment, say)
            project = Project(options.folder / "checkout", environment)
            say("deploy/Dockerfile")
            project.compose("build", "-q")
            clean(project)
            failed = ["interrupted"]
            try:
                failed = play(project, options.only)
            finally:
                if not options.keep:
                    with suppress(Failed):
                        clean(project)
    except NoEngine as error:
        print(f"skipped: {error}")
        return OK
    say("failed: " + ", ".join(failed) if failed else "all scenes passed")
    return CheckFailed.exit_code if failed else OK


if __name__ == "__main__":
    sys.exit(main())
