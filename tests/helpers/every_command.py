"""Runs command lines one after the other in forks of one process, for the imports are most of their time.

python -m tests.helpers.every_command FOLDER [--patient]: reads JSON lists of arguments from standard input, one a line,
and writes what each prints to FOLDER/NUMBER.out and FOLDER/NUMBER.err; its exit code goes to standard output.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

from sesacctl.broker import clients, cluster
from sesacctl.cli import app
from sesacctl.pipeline.watch import observation as observe

_BROKER_MS = 300
_LOOK_SECONDS = 1.0


def preload() -> None:
    """What the commands would import."""
    for name in app.COMMANDS:
        app.load(name)
    for module in (
        "alembic.command",
        "redis",
        "sqlalchemy.orm",
        "sesacctl.pipeline.watch.health",
        "sesacctl.pipeline.sink.store",
    ):
        importlib.import_module(module)


def hurry() -> None:
    """Less patience with servers that are not there."""
    observe.LIMIT_SECONDS, cluster.BROKER_SECONDS = _LOOK_SECONDS, _BROKER_MS / 1000
    clients.BOOTSTRAP_TIMEOUT_MS = _BROKER_MS
    defaults = clients.admin.__kwdefaults__
    assert defaults is not None
    defaults["timeout_ms"] = _BROKER_MS


def run(arguments: list[str], output: Path) -> int:
    """The exit code of one command line."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    for number, ending in ((1, ".out"), (2, ".err")):
        file = os.open(output.with_suffix(ending), os.O_WRONLY | os.O_CREAT, 0o600)
        os.dup2(file, number)
    sys.argv = ["sesacctl", *arguments]
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


def main() -> None:
    """All lines of standard input."""
    preload()
    if "--patient" not in sys.argv:
        hurry()
    for number, line in enumerate(sys.stdin):
        code = run(json.loads(line), Path(sys.argv[1]) / str(number))
        os.write(1, f"{code}\n".encode())


if __name__ == "__main__":
    main()
