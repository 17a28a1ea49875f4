"""The loop on every version of Kafka that has a lock here, and on the local stack's own: `make compat`.

One version after the other, each on a stack of its own that is gone at its end; `-m tests.compat 3.9.1` runs one.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from sesacctl.errors import OK, CheckFailed
from sesacctl.stack import jars
from tests.servers import clean_environment, down, run_sesacctl

HERE = Path(__file__).parent
OWN = HERE.parent.parent / "sesacctl" / "stack" / jars.LOCK
_ALL_SECONDS = 25 * 60.0
_UP_SECONDS = 300.0
_STEP_SECONDS = 120.0
_LAST_LINES = 3
STEPS = {
    "db init": "db init --with-seed --yes",
    "refresh": "cache refresh",
    "topics init": "topics init",
    "init again": "topics init",
    "describe": "topics describe",
    "produce": "produce --count 2000 --rate 0 --new-users 5 --new-products 5 --ledger ledger --random-seed 1",
    "consume": "consume --until-empty -n 3",
    "audit": "audit --deep --ledger ledger",
    "lag": "lag",
    "refresh again": "cache refresh",
    "health": "health",
    "metrics": "metrics --once",
}


@dataclass
class Row:
    """A line of the table: what each step came to, in order, and what the first that failed has printed."""

    version: str
    steps: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    seconds: float = 0.0


def run(lock: Path, deadline: float) -> Row:
    """Every step on this version, up to the first that fails."""
    row = Row(tomllib.loads(lock.read_text())["kafka"])
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="sesacctl-compat-") as scratch:
        folder = Path(scratch)
        folder.chmod(0o711)  # root's PostgreSQL runs as another user
        cache = jars.cache_folder().parent / "compat"
        environment = clean_environment(SESAC_HOME=str(folder / "home"), XDG_CACHE_HOME=str(cache))
        try:
            _steps(row, lock, folder, environment, deadline)
        except subprocess.TimeoutExpired as error:
            row.problem = f"not within {error.timeout:.0f} s"
        finally:
            down(folder / "home")
    row.seconds = time.monotonic() - begin
    return row


def _steps(row: Row, lock: Path, folder: Path, environment: Mapping[str, str], deadline: float) -> None:
    def note(step: str, done: subprocess.CompletedProcess[str]) -> bool:
        print(f"  {row.version} {step}: exit {done.returncode}", file=sys.stderr, flush=True)
        row.steps[step] = "ok" if done.returncode == OK else f"exit {done.returncode}"
        if done.returncode != OK:
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            row.problem = f"{step}: {' '.join(said[-_LAST_LINES:])}"
        return done.returncode == OK

    starting = subprocess.run(
        [sys.executable, "-m", "tests.compat.up", str(lock), environment["SESAC_HOME"]],
        env=dict(environment),
        timeout=min(_UP_SECONDS, deadline - time.monotonic()),
        capture_output=True,
        text=True,
        check=False,
    )
    if not note("up", starting):
        return
    for step, command in STEPS.items():
        seconds = min(_STEP_SECONDS, deadline - time.monotonic())
        if not note(step, run_sesacctl(*command.split(), env=environment, cwd=folder, timeout=seconds)):
            return


def table(rows: list[Row]) -> str:
    """As Markdown, for the README."""
    columns = ["up", *STEPS]
    lines = [f"| Kafka | {' | '.join(columns)} | seconds |", f"|{'---|' * (len(columns) + 2)}"]
    for row in rows:
        cells = " | ".join(row.steps.get(step, "–") for step in columns)
        lines.append(f"| {row.version} | {cells} | {row.seconds:.0f} |")
    return "\n".join([*lines, *(f"{row.version}: {row.problem}" for row in rows if row.problem)])


def main(versions: list[str]) -> int:
    """All versions, or those named; the exit code."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that the servers end, too
    deadline = time.monotonic() + _ALL_SECONDS
    rows = []
    for lock in [*sorted(HERE.glob("kafka-*.lock.toml")), OWN]:
        if versions and tomllib.loads(lock.read_text())["kafka"] not in versions:
            continue
        if time.monotonic() < deadline:
            rows.append(run(lock, deadline))
        else:
            rows.append(Row(lock.name, problem=f"not begun within {_ALL_SECONDS:.0f} s"))
    print(table(rows))
    return CheckFailed.exit_code if any(row.problem for row in rows) else OK


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
