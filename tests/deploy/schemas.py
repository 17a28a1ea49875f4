"""Kubernetes' own schemas, strictly. Runs with the Python of .venv-deploy, which has them, and imports nothing of ours.

python tests/deploy/schemas.py VERSION [CRDS]: reads rendered objects from standard input. Writes how many were held
against which schemas, then a line for each problem.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

_ANY = {"x-kubernetes-preserve-unknown-fields", "additionalProperties"}


def closed(schema: Any) -> Any:
    """A definition's schema with unknown fields refused, as the API server refuses them with `--validate=strict`."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    result = {key: closed(value) for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and not _ANY & schema.keys():
        result["additionalProperties"] = False
    if schema.get("x-kubernetes-int-or-string"):
        result.pop("type", None)
    return result


def definitions(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The schema of each `apiVersion` and kind that the definitions in `folder` have."""
    found = {}
    for path in sorted(folder.glob("*.yaml")):
        for document in yaml.load_all(path.read_text("utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if document and document["kind"] == "CustomResourceDefinition":
                spec = document["spec"]
                for version in spec["versions"]:
                    schema = closed(version["schema"]["openAPIV3Schema"])
                    # What the API server itself gives to every object.
                    schema["properties"]["metadata"] = {"type": "object"}
                    found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


def main() -> None:
    """Hold what standard input has against the schemas."""
    version, custom = sys.argv[1], definitions(Path(sys.argv[2])) if len(sys.argv) > 2 else {}
    problems, core, by_definition, unknown = [], 0, 0, set()
    for item in yaml.safe_load_all(sys.stdin):
        name = f"{item['kind']} {item['metadata']['name']}"
        if schema := custom.get((item["apiVersion"], item["kind"])):
            by_definition += 1
            for error in jsonschema.Draft202012Validator(schema).iter_errors(item):
                problems.append(f"{name}: {'.'.join(map(str, error.path))}: {error.message[:300]}")
            continue
        try:
            kubernetes_validate.validate(item, version, strict=True)
            core += 1
        except kubernetes_validate.ValidationError as error:
            problems.append(f"{name}: {'.'.join(map(str, error.path))}: {error.message[:300]}")
        except kubernetes_validate.SchemaNotFoundError:
            unknown.add(item["kind"])
    missing = f", without a schema: {', '.join(sorted(unknown))}" if unknown else ""
    print(f"{core} objects of Kubernetes {version}, {by_definition} by definitions{missing}")
    print(*problems, sep="\n")


if __name__ == "__main__":
    main()
