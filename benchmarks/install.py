"""What `make demo` installs, as ratios: `python -m benchmarks.install [ROUNDS] [--only uv]`.

The step with uv is held against `uv pip sync` and `uv pip install -r` of the same lock, and the step with pip against
the one before there was a lock of the demo: everything that tests need, and the checkout built by hatchling. All are
run shuffled in a copy of the checkout, each from nothing, with the caches that a first round has filled, which does not
count. Prints Markdown; exits 5 if a target was missed. Without uv its rows are left out, and that is said.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
ROUNDS = 3
QUICK = 7
STEP = ".venv/.installed"
PIP = ".venv/bin/python -m pip install -q --disable-pip-version-check --no-input --retries 2"
OLD = (
    f"{sys.executable} -m venv .venv && {PIP} --require-hashes -r requirements.lock"
    f" && {PIP} --no-deps --no-build-isolation -e ."
)
UV = f"uv venv -q --python {sys.executable} .venv && uv pip"
LOCKED = "--python .venv/bin/python --require-hashes"
UV_STEPS = {
    "uv pip sync of its lock": f"{UV} sync -q {LOCKED} requirements-demo.lock",
    "uv pip install -r of its lock": f"{UV} install -q {LOCKED} -r requirements-demo.lock",
    "make demo's step, uv": f"make -s {STEP} PYTHON={sys.executable} UV=uv",
}
PIP_STEPS = {
    "the step before, pip": OLD,
    "make demo's step, pip": f"make -s {STEP} PYTHON={sys.executable} UV=",
}
# What is held against what, and the bound on the ratio of medians.
TARGETS = (
    ("make demo's step, uv", "uv pip sync of its lock", 1.2),
    ("make demo's step, uv", "uv pip install -r of its lock", None),
    ("make demo's step, pip", "the step before, pip", 0.6),
)


def copy(folder: Path) -> None:
    """The checkout as it is, without what git leaves out."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)


def measure(script: str, folder: Path) -> float:
    """Seconds on the wall, from no environment to a whole one."""
    shutil.rmtree(folder / ".venv", ignore_errors=True)
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    started = time.perf_counter()
    subprocess.run(["sh", "-c", script], cwd=folder, env=environment, check=True, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def run(rounds: int, only: str) -> dict[str, list[float]]:
    """The seconds of each step of one installer, or of both."""
    steps = {"uv": UV_STEPS, "pip": PIP_STEPS}.get(only, {**UV_STEPS, **PIP_STEPS})
    if not shutil.which("uv"):
        steps = {step: script for step, script in steps.items() if step not in UV_STEPS}
    with tempfile.TemporaryDirectory(prefix="sesacctl-benchmark-") as name:
        folder = Path(name)
        copy(folder)
        times: dict[str, list[float]] = {step: [] for step in steps}
        for number in range(rounds + 1):
            for step, script in _round(steps):
                seconds = measure(script, folder)
                print(f"{step}: {seconds:.2f} s" + ("" if number else ", not counted"), file=sys.stderr, flush=True)
                times[step] += [seconds] if number else []
    return times


def _round(steps: dict[str, str]) -> list[tuple[str, str]]:
    """Those with uv, of which each takes a second, more often than those with pip, of which each takes a minute.

    In another order each time, as what runs after a minute of pip finds other files in memory.
    """
    every = [item for item in steps.items() for _ in range(QUICK if item[0] in UV_STEPS else 1)]
    return random.sample(every, len(every))


def report(times: dict[str, list[float]]) -> tuple[list[str], bool]:
    """Lines of Markdown, and whether a target was missed."""
    lines = ["| step | median, s | min | max |", "|---|---:|---:|---:|"]
    for step, seconds in times.items():
        lines.append(f"| {step} | {median(seconds):.2f} | {min(seconds):.2f} | {max(seconds):.2f} |")
    lines += ["", "| step | against | ratio | target |", "|---|---|---:|---|"]
    missed = False
    for step, base, bound in TARGETS:
        if step in times:
            ratio = median(times[step]) / median(times[base])
            missed |= bound is not None and ratio > bound
            target = "" if bound is None else f"≤ {bound:g}, {'met' if ratio <= bound else 'MISSED'}"
            lines.append(f"| {step} | {base} | {ratio:.2f} | {target} |")
    return lines if shutil.which("uv") else [*lines, "", "Left out: uv, which is not installed."], missed


def main() -> None:
    """Print the tables; exit 5 if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.install", description=__doc__)
    parser.add_argument("rounds", type=int, nargs="?", default=ROUNDS)
    parser.add_argument("--only", choices=["pip", "uv"], default="both", help="the steps of one installer")
    options = parser.parse_args()
    lines, missed = report(run(options.rounds, options.only))
    print("\n".join(lines))
    sys.exit(5 if missed else 0)


if __name__ == "__main__":
    main()
