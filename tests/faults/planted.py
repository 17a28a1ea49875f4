"""`python -m tests.faults.planted`: bugs that a storm is there for, each in a copy; exit code 5 if one is not noticed.

A storm that never fails proves nothing. These are bugs in the promise itself, with the faults that bring them out.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass

from tests.planted.plant import Plant
from tests.planted.running import copy_of_checkout

BROKEN = 5
_SECONDS = 900.0
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class StormPlant:
    """A bug, the options of a storm that brings it out, and words that its verdict must have."""

    plant: Plant
    options: tuple[str, ...]
    words: str


PLANTS = (
    StormPlant(
        Plant(
            "fence-removed",
            "sesacctl/pipeline/sink/store.py",
            (
                ("        if moved:\n", "        if moved is None:\n"),
                ("self._group, batches, counts) != len(batches):", "self._group, batches, counts) < 0:"),
            ),
            (),
        ),
        ("--only", "instance.stop-half", "--faults", "8", "--without-primary-key"),
        "doubled",
    ),
    StormPlant(
        Plant(
            "acknowledged-at-send",
            "sesacctl/pipeline/produce/producer.py",
            (
                (
                    "            self._ledger.intend(kind, map(row_id, batch))\n",
                    "            self._ledger.intend(kind, map(row_id, batch))\n"
                    "            self._ledger.acknowledge(kind, map(row_id, batch))\n",
                ),
            ),
            (),
        ),
        ("--only", "producer.kill", "--faults", "8"),
        "acknowledged and lost",
    ),
    StormPlant(
        Plant(
            "read-uncommitted",
            "sesacctl/broker/clients.py",
            (('isolation_level="read_committed"', 'isolation_level="read_uncommitted"'),),
            (),
        ),
        ("--only", "client.aborted", "--faults", "3"),
        "from nowhere",
    ),
    StormPlant(
        Plant(
            "duplicates-are-stored",
            "sesacctl/pipeline/sink/batch.py",
            (("            found.duplicates += 1\n", "            found.stored += 1\n"),),
            (),
        ),
        ("--only", "supervisor.from-earliest", "--faults", "1"),
        "",
    ),
)


def _run(planted: StormPlant) -> tuple[int, str]:
    """The storm's exit code in a copy with the bug, and what it says."""
    with copy_of_checkout() as folder:
        file = folder / planted.plant.file
        file.write_text(planted.plant.apply(file.read_text("utf-8")), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults", "--seed", "1", *planted.options],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            timeout=_SECONDS,
            capture_output=True,
            text=True,
            check=False,
        )
    return done.returncode, done.stdout + done.stderr


def main() -> int:
    """Run what the command line names, and tell the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.planted", description=__doc__)
    parser.add_argument("--only", action="append", choices=[each.plant.name for each in PLANTS])
    only = parser.parse_args().only
    missed = 0
    for each in PLANTS:
        if only and each.plant.name not in only:
            continue
        code, said = _run(each)
        caught = code == BROKEN and each.words in said
        missed += not caught
        print(f"{each.plant.name:24} {'caught' if caught else f'MISSED, exit code {code}'}", flush=True)
        print("\n".join(f"    {line:.160}" for line in said.splitlines()[-_SHOWN:]), flush=True)
    return BROKEN if missed else 0


if __name__ == "__main__":
    sys.exit(main())
