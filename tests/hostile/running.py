"""Runs hostile lines, many in one process's forks, and judges how each ended."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sesacctl import errors
from sesacctl.cli import boundary
from tests.helpers import servers
from tests.helpers.waiting import BUSY_SECONDS, busy_seconds
from tests.hostile.lines import Line

ROOT = Path(__file__).parents[2]
LIMIT_SECONDS = 15.0
_KILL_AFTER = LIMIT_SECONDS + BUSY_SECONDS
_TRACEBACK = "Traceback (most recent call last)"
_KINDS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.SesacctlError)]
# 1 is a bug; of the rest, every number that README's table has.
CODES = {0, boundary.INTERRUPTED, boundary.OUTPUT_CLOSED, *(each.exit_code for each in _KINDS)} - {1}
# They start servers of their own, or kill those of a folder: they get one that cannot be made.
STARTERS = ("up", "demo", "drill")
# What a line may leave on standard error: the longest error has a page, and what a command says on its way.
_MOST_CHARACTERS = 8_000


@dataclass(frozen=True, slots=True)
class Ended:
    """How a line ended, and what is wrong with that; None: nothing."""

    line: Line
    code: int
    seconds: float
    stdout: str
    stderr: str

    @property
    def fault(self) -> str | None:
        """What an operator would complain about."""
        if _TRACEBACK in self.stderr + self.stdout:
            return f"traceback: {self.stderr.strip().splitlines()[-1][:200]}"
        if self.code == -signal.SIGALRM:
            return f"hangs for more than {_KILL_AFTER:g} s"
        if self.code not in CODES:
            return f"exit code {self.code} is not in the table"
        if self.seconds > LIMIT_SECONDS and self.seconds > LIMIT_SECONDS + busy_seconds():
            return f"takes {self.seconds:.1f} s"
        if self.line.refused and self.code != errors.UsageError.exit_code:
            return f"is not refused: {self.code}"
        return self._words()

    def _words(self) -> str | None:
        if self.code == 0:
            return None
        if len(self.stderr) > _MOST_CHARACTERS:
            return f"says {len(self.stderr)} characters"
        text = "".join(map(_plain, self.stderr.splitlines()))
        said = len(re.findall(r"^[Ee]rror: ", text, re.MULTILINE)) + text.count("─ Error ─")
        hints = len(re.findall(r"^next:  \S", text, re.MULTILINE)) + len(
            re.findall(r"^Try 'sesacctl.* for help", text, re.MULTILINE)
        )
        if said != 1:
            return f"says {said} errors"
        return None if hints == 1 else f"gives {hints} hints"


def _plain(line: str) -> str:
    """A line of standard error as it is without `--log-format json`."""
    try:
        found = json.loads(line)
        if found["action"] == "stderr":
            return f"{found['message']}\n"
        return f"error: {found['message']}\nnext:  {found['next']}\n" if found["action"] == "error" else ""
    except (ValueError, KeyError, TypeError):
        return f"{line}\n"


def run(
    lines: Sequence[Line], folder: Path, environment: Mapping[str, str], *, at_once: int = 2, patient: bool = False
) -> list[Ended]:
    """Run each line in an empty folder of its own below `folder`, which is made."""
    output, home = folder / "printed", folder / "home"
    output.mkdir(parents=True)
    home.mkdir()
    (folder / "a-file").touch()
    requests = []
    for number, line in enumerate(lines):
        own = folder / "lines" / str(number)
        own.mkdir(parents=True)
        for name, content in line.files.items():
            (own / name).write_bytes(content)
        starter = {"SESAC_HOME": str(folder / "a-file" / "below")} if line.command in STARTERS else {}
        requests.append(
            {"arguments": line.arguments, "environment": {**line.environment, **starter}, "folder": str(own)}
        )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "tests.helpers.every_command", str(output)),
            *("--at-once", str(at_once), "--limit", str(_KILL_AFTER), *(["--patient"] if patient else [])),
        ],
        input="".join(json.dumps(request) + "\n" for request in requests),
        env=servers.clean_environment(**{**environment, "SESAC_HOME": str(home), "PYTHONPATH": str(ROOT)}),
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    ends = (text.split() for text in done.stdout.splitlines())
    return [
        Ended(line, int(code), float(seconds), *(_text(output / f"{number}{end}") for end in (".out", ".err")))
        for number, (line, (code, seconds)) in enumerate(zip(lines, ends, strict=True))
    ]


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", errors="backslashreplace") if path.exists() else ""


def faults(ended: Sequence[Ended]) -> list[str]:
    """What is wrong, a line each."""
    return [f"sesacctl {each.line.command} [{each.line.about}]: {each.fault}" for each in ended if each.fault]
