"""Runs command lines in forks of one process, for the imports are most of their time.

python -m tests.helpers.every_command FOLDER [--patient] [--screens] [--at-once NUMBER] [--limit SECONDS]: reads command
lines from standard input, one a line, each a JSON list of arguments, or an object with `arguments`, and if need be
`environment` (what is added to this process's own; null takes away) and `folder` (where it runs). It writes what each
prints to FOLDER/NUMBER.out and FOLDER/NUMBER.err; the exit codes go to standard output, in order, each with the seconds
that the command took. With `--screens`, tables are printed at several widths, as tests.helpers.screens says. One that
runs for longer than `--limit` is killed: -14; with it, each has at most 3 GiB of addresses.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sesacctl.broker import clients, cluster
from sesacctl.cli import app
from sesacctl.pipeline.watch import observation as observe
from tests.helpers import screens
from tests.helpers.prefork import import_all

if TYPE_CHECKING:
    from tests.conftest import Cli

_BROKER_MS = 300
_LOOK_SECONDS = 1.0
_MOST_BYTES = 3 << 30


def preload() -> None:
    """What the commands would import."""
    for name in app.COMMANDS:
        app.load(name)
    for module in ("kafka.admin", "redis", "typer.rich_utils"):
        importlib.import_module(module)
    import_all()


def hurry() -> None:
    """Less patience with servers that are not there."""
    observe.LIMIT_SECONDS, cluster.BROKER_SECONDS = _LOOK_SECONDS, _BROKER_MS / 1000
    clients.BOOTSTRAP_TIMEOUT_MS = _BROKER_MS
    defaults = clients.admin.__kwdefaults__
    assert defaults is not None
    defaults["timeout_ms"] = _BROKER_MS


def start(line: dict[str, Any], output: Path, limit: float) -> int:
    """The pid of a fork that runs one command line."""
    pid = os.fork()
    if pid:
        return pid
    if limit:
        signal.setitimer(signal.ITIMER_REAL, limit)  # the kernel ends it, whatever it does
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    for number, ending in ((1, ".out"), (2, ".err")):
        file = os.open(output.with_suffix(ending), os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(file, number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for name, value in line.get("environment", {}).items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value
    os.chdir(line.get("folder", "."))
    sys.argv = ["sesacctl", *line["arguments"]]
    code = 1
    try:
        app.main()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def run_lines(cli: Cli, lines: Sequence[Sequence[str]], folder: Path, *options: str) -> list[str]:
    """What each command line prints on standard output, one after the other in one folder."""
    folder.mkdir()
    subprocess.run(
        [sys.executable, "-m", "tests.helpers.every_command", str(folder), "--patient", *options],
        input="".join(json.dumps(list(line)) + "\n" for line in lines),
        env={**cli.environment, "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=cli.folder,
        capture_output=True,
        text=True,
        timeout=180,
        check=True,
    )
    return [(folder / f"{number}.out").read_text("utf-8") for number in range(len(lines))]


def main() -> None:
    """All lines of standard input."""
    parser = ArgumentParser()
    parser.add_argument("output", type=Path)
    parser.add_argument("--patient", action="store_true")
    parser.add_argument("--screens", action="store_true")
    parser.add_argument("--at-once", type=int, default=1)
    parser.add_argument("--limit", type=float, default=0.0)  # none
    chosen = parser.parse_args()
    preload()
    if not chosen.patient:
        hurry()
    if chosen.screens:
        screens.record()
    running: dict[int, tuple[int, float]] = {}
    ended: dict[int, str] = {}

    def end_one() -> None:
        pid, status = os.wait()
        number, began = running.pop(pid)
        ended[number] = f"{os.waitstatus_to_exitcode(status)} {time.monotonic() - began:.2f}\n"

    for number, text in enumerate(sys.stdin):
        if len(running) >= chosen.at_once:
            end_one()
        line = json.loads(text)
        line = {"arguments": line} if isinstance(line, list) else line
        running[start(line, chosen.output / str(number), chosen.limit)] = number, time.monotonic()
    while running:
        end_one()
    os.write(1, "".join(ended[number] for number in sorted(ended)).encode())


if __name__ == "__main__":
    main()
