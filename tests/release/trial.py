"""What a sesacctl without extras has to do right after it was installed."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sesacctl import __version__
from tests.release.installers import Installed

MODULES = Path(__file__).with_name("modules.py")
# A command of each extra, and how the error ends.
NEEDY = {"up": "local", "metrics --once": "metrics", "dashboard": "web"}
_SECONDS = 120
_CONFIGURATION = 3


def problems(installed: Installed) -> list[str]:
    """What is wrong with it, in a few words each."""
    with tempfile.TemporaryDirectory(prefix="sesacctl-folder-") as folder:
        return list(_problems(installed, Path(folder)))


def _problems(installed: Installed, folder: Path) -> Iterator[str]:
    said = _run(installed, folder, "--version").stdout.strip()
    if said != f"sesacctl {__version__}":
        yield f"--version says {said!r}"
    for command in ("--help", "config show", "events schema"):
        if code := _run(installed, folder, *command.split()).returncode:
            yield f"{command} ends with {code}"
    for command, extra in NEEDY.items():
        done = _run(installed, folder, *command.split())
        lines = done.stderr.splitlines()[-2:]
        if done.returncode != _CONFIGURATION or not lines[0].endswith(f"(extra: {extra})"):
            yield f"{command} without its extra says {done.stderr!r}"
        elif f"{installed.adds} " not in lines[-1] or f"[{extra}]" not in lines[-1]:
            yield f"{command} advises {lines[-1]!r}"
    if installed.python is not None:
        imported = subprocess.run([installed.python, MODULES], cwd=folder, capture_output=True, text=True, check=False)
        if imported.returncode:
            yield f"modules: {imported.stdout}{imported.stderr}"


def _run(installed: Installed, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SESAC_", "KAFKA_", "POSTGRES_"))}
    return subprocess.run(
        [*installed.command, *arguments],
        cwd=folder,
        env={**kept, **installed.environment},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
