"""How long commands take to start, as ratios: `python -m benchmarks.startup [ROUNDS]`.

Against bare Python, and against a Typer program of two commands; all are run in turn, so that a busy machine hits all
alike. Medians of wall-clock time, and of processor time, which other processes disturb less. What is run is the script
as installers write it, in environments of their own: the newest pip, uv, and the pip that comes with this Python; in
those there is only sesacctl, which is enough for `--version`. The other commands are those of this environment.
Prints Markdown; exits 5 if a bound is broken. What cannot be installed is left out, and that is said.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 31
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
INSTALLERS = ("pip", "uv", "bundled pip")


class Pair(NamedTuple):
    """A command line, what it is held against, and the bound on the ratio of processor times."""

    name: str
    arguments: list[str]
    against: str
    base: list[str]
    bound: float | None


def install(folder: Path, wheel: Path, installer: str) -> tuple[str, Path] | None:
    """The installer with its version, and the programs of a new environment with only the wheel; None if it cannot.

    pip is in an environment beside it, as what comes with it is imported at every start.
    """
    environment = folder / installer.replace(" ", "-")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = str(environment / "bin" / "python")
    try:
        if installer == "uv":
            tool, target = ["uv"], ["pip", "install", "--python", python]
        else:
            tools = folder / f"tools-{environment.name}"
            subprocess.run([sys.executable, "-m", "venv", tools], check=True)
            tool, target = [str(tools / "bin" / "python"), "-m", "pip"], ["--python", python, "install"]
        if installer == "pip":
            subprocess.run([*tool, "install", "-q", "--upgrade", "pip"], check=True, capture_output=True)
        subprocess.run([*tool, *target, "-q", "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
        said = subprocess.run([*tool, "--version"], check=True, capture_output=True, text=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    programs = environment / "bin"
    subprocess.run([programs / "sesacctl", "--version"], check=True, capture_output=True)
    return f"{installer} {said.split()[1]}", programs


def pairs(folder: Path) -> Iterator[Pair]:
    """Everything that is measured."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    [wheel] = folder.glob("*.whl")
    for installer in INSTALLERS:
        if found := install(folder, wheel, installer):
            named, programs = found
            bare = [str(programs / "python"), "-c", "pass"]
            version = [str(programs / "sesacctl"), "--version"]
            bound = None if installer.startswith("bundled") else 1.5
            yield Pair(f"sesacctl --version, by {named}", version, "python -c pass", bare, bound)
        else:
            print(f"Left out: {installer}, which is not here or has no network.\n")
    program = folder / "two_commands.py"
    program.write_text(TWO_COMMANDS)
    bare, ours = [sys.executable, "-c", "pass"], str(Path(sys.executable).with_name("sesacctl"))
    two = [sys.executable, str(program), "--help"]
    yield Pair("sesacctl --version, by make", [ours, "--version"], "python -c pass", bare, 1.5)
    yield Pair("sesacctl --help", [ours, "--help"], "two commands --help", two, 1.15)
    yield Pair("sesacctl health --live", [ours, "health", "--live"], "python -c pass", bare, None)
    yield Pair("sesacctl health --help", [ours, "health", "--help"], "two commands --help", two, None)


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


def run(rounds: int) -> Iterator[tuple[Pair, tuple[float, float], tuple[float, float]]]:
    """Of each pair the medians of both, in seconds."""
    folder = Path(tempfile.mkdtemp(prefix="sesacctl-benchmark-"))
    try:
        found = list(pairs(folder))
        heartbeats = folder / "home" / "heartbeats"
        heartbeats.mkdir(parents=True)
        beat = f'{{"pid": {os.getpid()}, "at": {time.monotonic()}, "good_for": 3600}}'
        (heartbeats / "benchmark.json").write_text(beat)
        lines = {tuple(line): line for pair in found for line in (pair.arguments, pair.base)}
        for line in lines.values():  # once for the compiled files
            measure(line, folder)
        runs = [{name: measure(line, folder) for name, line in lines.items()} for _ in range(rounds)]
    finally:
        shutil.rmtree(folder)
    for pair in found:
        ours, theirs = ([each[tuple(line)] for each in runs] for line in (pair.arguments, pair.base))
        yield pair, _medians(ours), _medians(theirs)


def _medians(times: list[tuple[float, float]]) -> tuple[float, float]:
    """On the wall and of the processor."""
    return median(wall for wall, _ in times), median(processor for _, processor in times)


def report(rounds: int) -> tuple[list[str], bool]:
    """Lines of Markdown, and whether a bound is broken by processor time."""
    lines = ["| command | wall | processor | against | ratio, wall | ratio, processor | bound |"]
    lines += ["|---|---:|---:|---|---:|---:|---|"]
    broken = False
    for pair, ours, theirs in run(rounds):
        wall, processor = (our / their for our, their in zip(ours, theirs, strict=True))
        missed = pair.bound is not None and processor > pair.bound
        broken |= missed
        bound = "" if pair.bound is None else f"≤ {pair.bound:g}, {'BROKEN' if missed else 'kept'}"
        milliseconds = " | ".join(f"{each * 1000:.0f} ms" for each in ours)
        lines.append(f"| {pair.name} | {milliseconds} | {pair.against} | {wall:.2f} | {processor:.2f} | {bound} |")
    return lines, broken


def main() -> None:
    """Print the table; exit 5 when a bound is broken."""
    lines, broken = report(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
    print("\n".join(lines))
    sys.exit(5 if broken else 0)


if __name__ == "__main__":
    main()
