"""deploy/k8s' PrometheusRule, from the rule files of deploy/prometheus.

`python -m tests.deploy.rules` writes it again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.helpers.documents import ROOT

SOURCES = ROOT / "deploy" / "prometheus"
TARGET = ROOT / "deploy" / "k8s" / "components" / "monitoring" / "rules.yaml"
_HEADER = "# Written by `python -m tests.deploy.rules` from the rule files of deploy/prometheus.\n"


def groups(folder: Path = SOURCES) -> list[dict[str, Any]]:
    """The groups of every rule file there: a file with `groups` at its top and no `tests`."""
    documents = (yaml.safe_load(path.read_text("utf-8")) for path in sorted(folder.glob("*.y*ml")))
    return [
        group for document in documents if document and "tests" not in document for group in document.get("groups", ())
    ]


def rule_object(folder: Path = SOURCES) -> str:
    """The object as YAML."""
    item = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "sesacctl"},
        "spec": {"groups": groups(folder)},
    }
    return f"{_HEADER}{yaml.safe_dump(item, sort_keys=False, width=1000, allow_unicode=True)}"


if __name__ == "__main__":
    TARGET.write_text(rule_object(), "utf-8")
