"""Holds deploy/k8s against what will read it: `make deploy-check`.

Every overlay is rendered by `kubectl kustomize`, held against the strict schemas of Kubernetes and of the operators,
and against the command line and the settings. `python -m tests.deploy BIN`: the folder of .venv-deploy's programs. The
operators' definitions are looked for in the folder that SESAC_CRDS names, else in `shared/k8s/crds` beside the
checkout; without them, their objects are held against our own rules only.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

from sesacctl.errors import OK, CheckFailed
from tests.deploy import rules
from tests.deploy.manifests import problems
from tests.helpers.documents import ROOT

OVERLAYS = ROOT / "deploy" / "k8s" / "overlays"
SCHEMAS = Path(__file__).with_name("schemas.py")
# The oldest that is maintained, and the newest that the schemas know.
VERSIONS = ("1.34", "1.37")


def crds() -> Path | None:
    """Where the operators' definitions are."""
    named = os.environ.get("SESAC_CRDS")
    folder = Path(named) if named else ROOT.parent / "shared" / "k8s" / "crds"
    return folder if folder.is_dir() else None


def check(overlay: Path, programs: Path) -> list[str]:
    """All problems of one overlay, with a line of what was done on standard output."""
    rendered = subprocess.run([programs / "kubectl", "kustomize", overlay], capture_output=True, text=True, check=False)
    if rendered.returncode != OK or rendered.stderr:  # a warning is a problem, too
        return [rendered.stderr.strip()]
    found = list(problems([item for item in yaml.safe_load_all(rendered.stdout) if item]))
    for version in VERSIONS:
        command = [str(programs / "python"), str(SCHEMAS), version, *(str(folder) for folder in [crds()] if folder)]
        held = subprocess.run(command, input=rendered.stdout, capture_output=True, text=True, check=False)
        if held.returncode != OK:
            return [held.stderr.strip()]
        done, *wrong = held.stdout.splitlines()
        print(f"{overlay.name}: {done}")
        found += filter(None, wrong)
    return found


def main() -> int:
    """Exit code."""
    if crds() is None:
        print("the operators' definitions are not here: SESAC_CRDS names their folder; their objects get no schema")
    found = [f"{path.name}: {each}" for path in sorted(OVERLAYS.iterdir()) for each in check(path, Path(sys.argv[1]))]
    if rules.TARGET.read_text("utf-8") != rules.rule_object():
        found.append("the PrometheusRule is not that of deploy/prometheus: python -m tests.deploy.rules")
    print(*dict.fromkeys(found), sep="\n", file=sys.stderr)
    print(f"{len(found)} problems")
    return CheckFailed.exit_code if found else OK


if __name__ == "__main__":
    sys.exit(main())
