"""Installs the checkout into the environment of the Python that runs this, so that changes of the sources count.

`make demo` does it. What lies in the environment then is what `pip install -e .` leaves there, and pip and uv can take
it away again; but nothing is built, which would need six more packages and as long as uv needs for all the others.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import sysconfig
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
NAME = "sesacctl"
OWN = re.compile(rf"{NAME}\[(\w+)\]$")
LONGEST_SHEBANG = 127  # Linux reads no more


def metadata(project: dict[str, Any], version: str) -> str:
    """METADATA: what it is called, and what it needs with which extra."""
    lines = ["Metadata-Version: 2.4", f"Name: {NAME}", f"Version: {version}"]
    lines += [f"Summary: {project['description']}", f"Requires-Python: {project['requires-python']}"]
    lines += [f"Requires-Dist: {each}" for each in project["dependencies"]]
    extras = project["optional-dependencies"]
    for extra, needs in extras.items():
        parts = [extras[own[1]] if (own := OWN.match(each)) else [each] for each in needs]
        lines += [f"Provides-Extra: {extra}"]
        lines += [f"Requires-Dist: {each} ; extra == '{extra}'" for part in parts for each in part]
    return "\n".join(lines) + "\n"


def entry_points(project: dict[str, Any]) -> str:
    """entry_points.txt: the command, and the plugin of pytest."""
    groups = {"console_scripts": project["scripts"], **project["entry-points"]}
    parts = (
        f"[{group}]\n" + "".join(f"{n} = {where}\n" for n, where in names.items()) for group, names in groups.items()
    )
    return "\n".join(parts)


def script(python: str, where: str) -> str:
    """A command that calls `where`, a function as `package.module:name`."""
    module, _, function = where.partition(":")
    first = f"#!{python}\n"
    if " " in python or len(first) > LONGEST_SHEBANG:
        first = f"#!/bin/sh\n'''exec' \"{python}\" \"$0\" \"$@\"\n' '''\n"
    return (
        f"{first}import sys\nfrom {module} import {function}\nif __name__ == '__main__':\n    sys.exit({function}())\n"
    )


def remove(packages: Path) -> None:
    """Take away what an earlier installation has noted."""
    for folder in packages.glob(f"{NAME}-*.dist-info"):
        for line in (folder / "RECORD").read_text("utf-8").splitlines():
            (packages / line.rsplit(",", 2)[0]).unlink(missing_ok=True)
        for left in sorted(folder.glob("**/*"), reverse=True):
            left.rmdir() if left.is_dir() else left.unlink()
        folder.rmdir()
    shutil.rmtree(packages / NAME, ignore_errors=True)  # folders of the files that hatchling copies


def install(packages: Path, programs: Path) -> None:
    """Note the checkout in `packages`, and put the commands into `programs`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    found = re.search(r'^__version__ = "(.+)"$', (ROOT / NAME / "__init__.py").read_text("utf-8"), re.MULTILINE)
    assert found
    remove(packages)
    folder = packages / f"{NAME}-{found[1]}.dist-info"
    folder.mkdir()
    written = dict(_files(folder, project, found[1]))
    written[packages / f"_editable_impl_{NAME}.pth"] = f"{ROOT}\n"
    for path, text in written.items():
        path.write_text(text, "utf-8")
    for name, where in project["scripts"].items():
        path = programs / name
        path.write_text(script(sys.executable, where), "utf-8")
        path.chmod(0o755)
        written[path] = ""
    record = folder / "RECORD"
    record.write_text("".join(f"{os.path.relpath(path, packages)},,\n" for path in [*written, record]), "utf-8")


def _files(folder: Path, project: dict[str, Any], version: str) -> Iterator[tuple[Path, str]]:
    """What lies in the folder of the package's notes."""
    yield folder / "METADATA", metadata(project, version)
    yield folder / "entry_points.txt", entry_points(project)
    yield folder / "direct_url.json", json.dumps({"url": ROOT.as_uri(), "dir_info": {"editable": True}})
    installer = "pip" if (Path(sys.prefix) / "bin" / "pip").exists() else "uv"
    yield folder / "INSTALLER", f"{installer}\n"
    yield folder / "WHEEL", "Wheel-Version: 1.0\nGenerator: sesacctl\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


if __name__ == "__main__":
    install(Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("scripts")))
