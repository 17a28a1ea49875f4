"""Builds what is released, of what is committed and nothing else: `make release`.

`python -m tests.release.build BIN FOLDER`: the folder of .venv-release's programs, and where the files go: the wheel,
the source distribution, a bill of materials (CycloneDX), the licences in it, and the SHA-256 sums of all of them. The
same commit gives the same bytes in any folder, at any time and with any umask.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.helpers.documents import ROOT
from tests.release import bill

SUMS = "SHA256SUMS"


def build(source: Path, folder: Path, epoch: int) -> list[Path]:
    """The wheel and the source distribution of the sources in `source`, made in `folder`, with times of `epoch`."""
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-d", folder],
        cwd=source,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(epoch)},
        check=True,
        capture_output=True,
    )
    return sorted(folder.glob("sesacctl-*"))


def committed(folder: Path) -> int:
    """Put the files of the last commit into `folder`; returns when it was made, in seconds since 1970."""
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x"], cwd=folder, input=archive, check=True)
    shown = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, check=True, capture_output=True, text=True)
    return int(shown.stdout)


def sums(files: list[Path]) -> Mapping[str, str]:
    """SHA-256 of each file, by its name."""
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def main() -> None:
    """Build all of it anew."""
    programs, folder = Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="sesacctl-release-") as temporary:
        source = Path(temporary)
        epoch = committed(source)
        built = build(source, folder, epoch)
    wheel = next(path for path in built if path.suffix == ".whl")
    built += bill.write(programs, wheel, folder, epoch)
    lines = [f"{sum_}  {name}\n" for name, sum_ in sums(built).items()]
    (folder / SUMS).write_text("".join(lines), "utf-8")
    print(*lines, sep="", end="")


if __name__ == "__main__":
    main()
