"""The ways in which people install sesacctl, each into a folder of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
_ASK = "import sys; print('%d.%d' % sys.version_info[:2], sys.executable)"


@dataclass(frozen=True, slots=True)
class NotHere:
    """A way that this machine does not have."""

    name: str


@dataclass(frozen=True, slots=True)
class Installed:
    """How to call it, what the command that adds an extra begins with, and its Python if that stays."""

    name: str
    command: tuple[str, ...]
    adds: str
    python: Path | None
    environment: Mapping[str, str] = field(default_factory=dict)


def pythons() -> dict[str, Path | None]:
    """A Python of each version; None where there is none."""
    found: dict[str, Path | None] = dict.fromkeys(VERSIONS)
    for version in VERSIONS:
        named = shutil.which(f"python{version}")
        kept = sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python"), reverse=True)
        for candidate in map(str, filter(None, (named, sys.executable, *kept))):
            # A shim of pyenv is there for each version, also where the folder's version is another.
            asked = subprocess.run([candidate, "-c", _ASK], capture_output=True, text=True, check=False)
            if asked.returncode == 0 and asked.stdout.split()[0] == version:
                found[version] = Path(asked.stdout.split()[1])
                break
    return found


def by_pip(wheel: Path, folder: Path, python: Path, version: str) -> Installed:
    """In a new environment, with the pip that comes with that Python."""
    subprocess.run([python, "-m", "venv", folder], check=True, capture_output=True)
    own = folder / "bin" / "python"
    _run([str(own), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel)])
    path = {"PATH": f"{own.parent}:{os.environ['PATH']}"}
    return Installed(f"Python {version}, pip", (str(own.parent / "sesacctl"),), "pip install", own, path)


def _by_pipx(wheel: Path, folder: Path) -> Installed | NotHere:
    if (pipx := shutil.which("pipx")) is None:
        return NotHere("pipx")
    places = {"PIPX_HOME": str(folder), "PIPX_BIN_DIR": str(folder / "bin"), "PIPX_MAN_DIR": str(folder / "man")}
    _run([pipx, "install", "--quiet", "--python", sys.executable, str(wheel)], places)
    own = folder / "venvs" / "sesacctl" / "bin" / "python"
    return Installed("pipx", (str(folder / "bin" / "sesacctl"),), "pipx install --force", own)


def _by_uv_tool(wheel: Path, folder: Path) -> Installed | NotHere:
    if (uv := shutil.which("uv")) is None:
        return NotHere("uv tool")
    places = {"UV_TOOL_DIR": str(folder), "UV_TOOL_BIN_DIR": str(folder / "bin")}
    _run([uv, "tool", "install", "--quiet", "--python", sys.executable, str(wheel)], places)
    own = folder / "sesacctl" / "bin" / "python"
    return Installed("uv tool", (str(folder / "bin" / "sesacctl"),), "uv tool install --force", own)


def _by_uvx(wheel: Path, folder: Path) -> Installed | NotHere:
    if (uvx := shutil.which("uvx")) is None:
        return NotHere("uvx")
    places = {"UV_CACHE_DIR": str(folder)}
    command = (uvx, "--quiet", "--python", sys.executable, "--from", str(wheel), "sesacctl")
    return Installed("uvx", command, "uvx --from", None, places)


TOOLS: dict[str, Callable[[Path, Path], Installed | NotHere]] = {
    "pipx": _by_pipx,
    "uv tool": _by_uv_tool,
    "uvx": _by_uvx,
}


def _run(command: list[str], environment: Mapping[str, str] | None = None) -> None:
    subprocess.run(command, env={**os.environ, **(environment or {})}, check=True, capture_output=True)
