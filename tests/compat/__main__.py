"""The loop on other versions of the servers: `make compat`.

First every version of Kafka that there is a lock for, the local stack's own the last; one after the other, each on a
stack of its own that is gone at its end. Then other versions of PostgreSQL and Redis, in pairs, beside one Kafka.
`-m tests.compat 3.9.1` runs one Kafka, `-m tests.compat pairs` the pairs.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sesacctl.errors import OK, CheckFailed
from sesacctl.stack import jars, stack
from tests.compat import other_servers
from tests.helpers.servers import clean_environment, down, run_sesacctl

_ALL_SECONDS = 25 * 60.0
_UP_SECONDS = 300.0
_STEP_SECONDS = 120.0
_LAST_LINES = 3
_NOT_BEGUN = f"not begun within {_ALL_SECONDS:.0f} s"
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


PAIRS = "pairs"


@dataclass
class Row:
    """A line of the table: what each step came to, in order, and what the first that failed has printed.

    `missing`: why there was nothing to run.
    """

    servers: str
    steps: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    missing: str = ""
    seconds: float = 0.0

    def note(self, step: str, done: subprocess.CompletedProcess[str]) -> bool:
        """Write down what a step came to; whether it went well."""
        print(f"  {self.servers} {step}: exit {done.returncode}", file=sys.stderr, flush=True)
        self.steps[step] = "ok" if done.returncode == OK else f"exit {done.returncode}"
        if done.returncode != OK:
            said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
            self.problem = f"{step}: {' '.join(said[-_LAST_LINES:])}"
        return done.returncode == OK


@contextmanager
def timed(row: Row) -> Iterator[None]:
    """How long a row takes; what does not end in time is its problem."""
    begin = time.monotonic()
    try:
        yield
    except subprocess.TimeoutExpired as error:
        row.problem = f"not within {error.timeout:.0f} s"
    row.seconds = time.monotonic() - begin


@contextmanager
def scratch() -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder for a stack below `home`, which is stopped at the end, and the environment for it."""
    with tempfile.TemporaryDirectory(prefix="sesacctl-compat-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # root's PostgreSQL runs as another user
        cache = jars.cache_folder().parent / "compat"
        try:
            yield folder, clean_environment(SESAC_HOME=str(folder / "home"), XDG_CACHE_HOME=str(cache))
        finally:
            down(folder / "home")


def run_kafka(version: str, deadline: float) -> Row:
    """Every step on this version, up to the first that fails."""
    row = Row(f"Kafka {version}")
    with timed(row), scratch() as (folder, environment):
        if row.note("up", _up(version, environment, deadline)):
            _steps(row, folder, environment, deadline)
    return row


def run_pairs(deadline: float) -> list[Row]:
    """Every step on each pair of PostgreSQL and Redis, beside the stack's own Kafka."""
    rows = [Row(" · ".join(server.name for server in pair)) for pair in other_servers.PAIRS]
    with scratch() as (folder, environment):
        packages = folder / "packages"
        packages.mkdir()
        problems = other_servers.install(packages)
        started = _up("", environment, deadline)
        for number, (row, pair) in enumerate(zip(rows, other_servers.PAIRS, strict=True)):
            row.missing = other_servers.missing(pair, packages, problems)
            if row.missing or not row.note("up", started):
                continue
            own = {"KAFKA_TOPIC_PREFIX": f"pair-{number}-", "KAFKA_GROUP": f"pair-{number}"}
            work = folder / f"pair-{number}"
            work.mkdir()
            with timed(row), ExitStack() as running:
                here = other_servers.start(pair, packages, running)
                _steps(row, work, {**environment, **stack.environment(folder / "home"), **here, **own}, deadline)
    return rows


def _up(version: str, environment: Mapping[str, str], deadline: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.compat.up", version, environment["SESAC_HOME"]],
        env=dict(environment),
        timeout=min(_UP_SECONDS, deadline - time.monotonic()),
        capture_output=True,
        text=True,
        check=False,
    )


def _steps(row: Row, folder: Path, environment: Mapping[str, str], deadline: float) -> None:
    for step, command in STEPS.items():
        seconds = min(_STEP_SECONDS, deadline - time.monotonic())
        if not row.note(step, run_sesacctl(*command.split(), env=environment, cwd=folder, timeout=seconds)):
            return


def table(rows: list[Row]) -> str:
    """As Markdown, for the README."""
    columns = ["up", *STEPS]
    lines = [f"| servers | {' | '.join(columns)} | seconds |", f"|{'---|' * (len(columns) + 2)}"]
    for row in rows:
        cells = " | ".join(row.steps.get(step, "–") for step in columns)
        lines.append(f"| {row.servers} | {cells} | {row.seconds:.0f} |")
    return "\n".join([*lines, *(f"{row.servers}: {text}" for row in rows if (text := row.problem or row.missing))])


def main(wanted: list[str]) -> int:
    """All servers, or those named; the exit code."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))  # so that the servers end, too
    deadline = time.monotonic() + _ALL_SECONDS
    rows = []
    for version in jars.versions():
        if wanted and version not in wanted:
            continue
        if time.monotonic() < deadline:
            rows.append(run_kafka(version, deadline))
        else:
            rows.append(Row(version, problem=_NOT_BEGUN))
    if not wanted or PAIRS in wanted:
        rows += run_pairs(deadline) if time.monotonic() < deadline else [Row(PAIRS, problem=_NOT_BEGUN)]
    print(table(rows))
    return CheckFailed.exit_code if any(row.problem for row in rows) else OK


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
