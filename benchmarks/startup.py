"""How long commands take to start, as ratios: `python -m benchmarks.startup [ROUNDS]`.

Against bare Python, and against a Typer program of two commands; all are run in turn, so that a busy machine hits all
alike. Medians of wall-clock time, and of processor time, which other processes disturb less. What is run is the entry
point, as the script does that an installer makes of it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

ROUNDS = 15
ENTRY = "import sys; from sesacctl.cli.app import main; sys.exit(main())"
TWO_COMMANDS = """
import typer
app = typer.Typer(no_args_is_help=True)

@app.command()
def first(name: str = "x") -> None:
    "The first command."

@app.command()
def second(count: int = 1) -> None:
    "The second command."

app()
"""
# What is measured, what it is held against, and the bound on the ratio.
PAIRS = (
    ("sesacctl --version", "python -c pass", 1.5),
    ("sesacctl --help", "two commands --help", 1.15),
    ("sesacctl health --live", "python -c pass", None),
    ("sesacctl health --help", "two commands --help", None),
)


def commands(folder: Path) -> dict[str, list[str]]:
    """Every command line, by its name above."""
    program = folder / "two_commands.py"
    program.write_text(TWO_COMMANDS)
    python = sys.executable
    return {
        "python -c pass": [python, "-c", "pass"],
        "two commands --help": [python, str(program), "--help"],
        "sesacctl --version": [python, "-c", ENTRY, "--version"],
        "sesacctl --help": [python, "-c", ENTRY, "--help"],
        "sesacctl health --live": [python, "-c", ENTRY, "health", "--live"],
        "sesacctl health --help": [python, "-c", ENTRY, "health", "--help"],
    }


def measure(arguments: list[str], folder: Path) -> tuple[float, float]:
    """Seconds on the wall and of the processor for one run."""
    environment = {**os.environ, "COLUMNS": "80", "SESAC_HOME": str(folder / "home")}
    started = time.perf_counter()
    process = subprocess.Popen(
        arguments, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime


def run(rounds: int) -> dict[str, tuple[float, float]]:
    """The medians of each command, in seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = commands(folder)
        heartbeats = folder / "home" / "heartbeats"
        heartbeats.mkdir(parents=True)
        beat = f'{{"pid": {os.getpid()}, "at": {time.monotonic()}, "good_for": 3600}}'
        (heartbeats / "benchmark.json").write_text(beat)
        for arguments in lines.values():  # once for the compiled files
            measure(arguments, folder)
        runs = [{name: measure(arguments, folder) for name, arguments in lines.items()} for _ in range(rounds)]
    return {name: (median(r[name][0] for r in runs), median(r[name][1] for r in runs)) for name in lines}


def main() -> None:
    """Print the table; exit 1 when a bound is broken by processor time."""
    times = run(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
    table = Table("command", "wall", "processor", "against", "ratio, wall", "ratio, processor", "bound")
    broken = False
    for name, base, bound in PAIRS:
        wall, processor = (ours / theirs for ours, theirs in zip(times[name], times[base], strict=True))
        broken |= bound is not None and processor > bound
        seconds = (f"{each * 1000:.0f} ms" for each in times[name])
        table.add_row(name, *seconds, base, f"{wall:.2f}", f"{processor:.2f}", f"≤ {bound}" if bound else "")
    Console(width=100).print(table)
    sys.exit(int(broken))


if __name__ == "__main__":
    main()
