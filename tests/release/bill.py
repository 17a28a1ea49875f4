"""The bill of materials: each package that the wheel brings with its extras, what is in it, and each jar that
`up` fetches."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sesacctl import __version__
from sesacctl.stack import jars
from tests.helpers.documents import ROOT

EXTRAS = "local,metrics,web"  # those of requirements.lock
BILL, LICENCES = "sbom.cdx.json", "licences.txt"
_VENDOR = ROOT / "sesacctl" / "dashboard" / "static" / "vendor"
_UNKNOWN = "not said by the package"


def write(programs: Path, wheel: Path, folder: Path, epoch: int) -> list[Path]:
    """Write the bill and the list of licences into `folder`; `programs` has `cyclonedx-py`."""
    with tempfile.TemporaryDirectory(prefix="sesacctl-bill-") as temporary:
        found = _packages(programs, install(wheel, Path(temporary)))
    document = complete(found, epoch)
    written = [folder / BILL, folder / LICENCES]
    written[0].write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", "utf-8")
    written[1].write_text("".join(f"{line}\n" for line in licences(document)), "utf-8")
    return written


def install(wheel: Path, folder: Path) -> Path:
    """The Python of a new environment without pip: the wheel and its extras, with the versions of requirements.lock."""
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    pinned = folder / "constraints.txt"
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    pinned.write_text("".join(line.rstrip(" \\") + "\n" for line in lines if "==" in line), "utf-8")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", str(pinned), f"sesacctl[{EXTRAS}] @ {wheel.as_uri()}"], check=True)
    return python


def _packages(programs: Path, python: Path) -> dict[str, Any]:
    """What cyclonedx-py finds in that environment."""
    options = ("--output-reproducible", "--output-format", "JSON")
    done = subprocess.run([programs / "cyclonedx-py", "environment", *options, python], check=True, capture_output=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def complete(found: dict[str, Any], epoch: int) -> dict[str, Any]:
    """The bill with sesacctl itself as its subject, and Kafka's jars."""
    [own] = [each for each in found["components"] if each["name"] == "sesacctl"]
    others = [each for each in found["components"] if each is not own]
    own.pop("externalReferences", None)  # the folder of this machine that the wheel lay in
    own |= {"type": "application", "version": __version__, "purl": f"pkg:pypi/sesacctl@{__version__}"}
    made = datetime.fromtimestamp(epoch, UTC).isoformat().replace("+00:00", "Z")
    metadata = {**found.get("metadata", {}), "timestamp": made, "component": own}
    return {**found, "metadata": metadata, "components": [*others, _charts(), *_jars()]}


def _charts() -> dict[str, Any]:
    """uPlot, which is in the wheel."""
    script = _VENDOR / "uPlot.iife.min.js"
    found = re.search(r"\(v([\d.]+)\)", script.read_text("utf-8"))
    version = found[1] if found else "0"
    return {
        "type": "library",
        "bom-ref": f"pkg:npm/uplot@{version}",
        "name": "uPlot",
        "version": version,
        "purl": f"pkg:npm/uplot@{version}",
        "licenses": [{"license": {"id": "MIT"}}],
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(script.read_bytes()).hexdigest()}],
    }


def _jars() -> Iterator[dict[str, Any]]:
    for jar in jars.read_lock().jars:
        place = f"pkg:maven/{jar.group}/{jar.artifact}@{jar.version}"
        yield {
            "type": "library",
            "bom-ref": place,
            "group": jar.group,
            "name": jar.artifact,
            "version": jar.version,
            "scope": "optional",  # `up` fetches them; whoever has a Kafka needs none
            "purl": place,
            "hashes": [{"alg": "SHA-256", "content": jar.sha256}],
        }


def licences(document: dict[str, Any]) -> list[str]:
    """`name version: licence`, sorted; of the packages alone, as a lock of jars says nothing about theirs."""
    packages = [each for each in document["components"] if not each.get("purl", "").startswith("pkg:maven/")]
    lines = [f"{each['name']} {each['version']}: {_licence(each)}" for each in packages]
    return sorted(lines, key=str.lower)


def _licence(component: dict[str, Any]) -> str:
    """The licence's SPDX name; what the package says in other words only where it says nothing else."""
    said = [each.get("license", each) for each in component.get("licenses", [])]
    spdx = [each.get("expression") or each.get("id") for each in said]
    named = [" ".join(each.get("name", "").removeprefix("License :: OSI Approved :: ").split()) for each in said]
    return " AND ".join(dict.fromkeys(filter(None, spdx)) or dict.fromkeys(filter(None, named))) or _UNKNOWN
