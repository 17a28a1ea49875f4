"""`benchmarks/RESULTS.md`: what the last runs have shown, a section for each benchmark.

A benchmark that is run with `--write` ends with

    lines = results.table(["contender", "rows/s"], rows)
    results.write_section("consume", lines, versions=results.server_versions(home))

`python -m benchmarks.results NAME` runs one that prints without knowing of this file, and keeps what it has printed.

`write_section` puts the day, the commit, the machine and the versions on top of the lines, replaces the section of that
name and leaves all others as they are. Lines are Markdown; a heading in them has to be of level 3 or deeper.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from sesacctl.stack import stack

PATH = Path(__file__).with_name("RESULTS.md")
_HEAD = "# Results\n\nWritten by `make bench`: each benchmark replaces its own section, and only that one.\n"


def write_section(
    name: str, lines: Iterable[str], *, versions: Mapping[str, str] | None = None, path: Path = PATH
) -> None:
    """Put these lines under the heading `name`; everything else in the file stays."""
    body = [machine(), _versions(versions or {}), "", *lines]
    section = f"## {name}\n\n" + "\n".join(body).strip() + "\n"
    head, *sections = _sections(path.read_text("utf-8") if path.exists() else _HEAD)
    kept = {_name(text): text for text in sections} | {name: section}
    path.write_text("\n".join([head, *kept.values()]), "utf-8")


def main() -> None:
    """Run a benchmark, show its output and keep it; exits as it did."""
    name = sys.argv[1]
    words = [sys.executable, "-m", f"benchmarks.{name}", *sys.argv[2:]]
    shown: list[str] = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            print(line, end="", flush=True)
            shown.append(line.rstrip())
    is_markdown = any(line.startswith("|") for line in shown)
    write_section(name, shown if is_markdown else ["```text", *shown, "```"])
    sys.exit(running.returncode)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """The lines of a Markdown table."""
    return [_row(columns), "|" + "---|" * len(columns), *(_row(row) for row in rows)]


def machine() -> str:
    """What this was measured on, and when."""
    day = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"Measured until {day} at commit {_commit()}: {_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB of"
        f" memory, {platform.system()} {platform.release()}; load average of 15 minutes {os.getloadavg()[2]:.1f}."
    )


def server_versions(home: Path) -> dict[str, str]:
    """Versions of the servers that run in `home`, by their names."""
    found = {status.server.partition("-")[0]: status.version for status in stack.status(home)}
    return {name: version for name, version in found.items() if version}


def package_versions(python: Path, packages: Iterable[str]) -> dict[str, str]:
    """Versions of those packages that the environment of this interpreter has."""
    listed = subprocess.run([python, "-c", _LIST, *packages], check=True, capture_output=True, text=True).stdout
    return dict(line.split(" ", 1) for line in listed.splitlines())


_LIST = """
import sys
from importlib.metadata import PackageNotFoundError, version
for name in sys.argv[1:]:
    try:
        print(name, version(name))
    except PackageNotFoundError:
        pass
"""


def _sections(text: str) -> list[str]:
    head, *sections = text.split("\n## ")
    return [head.rstrip("\n") + "\n", *("## " + section.rstrip("\n") + "\n" for section in sections)]


def _name(section: str) -> str:
    return section.partition("\n")[0].removeprefix("## ")


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _versions(more: Mapping[str, str]) -> str:
    versions = {"Python": platform.python_version(), **more}
    return "Versions: " + ", ".join(f"{name} {version}" for name, version in versions.items()) + "."


def _commit() -> str:
    """The commit, with a plus if files are not as in it; those that benchmarks write do not count."""
    written = (f":(top,exclude)benchmarks/{PATH.name}", ":(top,exclude)docs/charts")
    changes = _git("status", "--porcelain", "--untracked-files=no", "--", ":/", *written)
    return (_git("rev-parse", "--short", "HEAD") or "unknown") + "+" * bool(changes)


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, cwd=PATH.parent, check=False, capture_output=True, text=True).stdout.strip()


def _processor() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return platform.machine()


if __name__ == "__main__":
    main()
