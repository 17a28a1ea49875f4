"""deploy/k8s without kubectl: its files, commands, variables and versions; `make deploy-check` holds the rest."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sesacctl import __version__
from tests.deploy import rules
from tests.deploy.manifests import command_problems, containers, problems, variable_problem
from tests.helpers.documents import ROOT

K8S = ROOT / "deploy" / "k8s"
OVERLAYS = sorted((K8S / "overlays").iterdir())


def test_overlays_are_those_that_are_documented() -> None:
    names = [path.name for path in OVERLAYS]
    assert names == ["local-postgres", "msk", "rds", "strimzi", "supabase"]
    text = (ROOT / "docs" / "deploy.md").read_text("utf-8")
    assert [name for name in names if f"| `{name}` |" not in text] == []


def test_kustomizations_name_every_file_and_no_other() -> None:
    named: set[Path] = set()
    for path in K8S.rglob("kustomization.yaml"):
        named.add(path)
        for entry in _entries(yaml.safe_load(path.read_text("utf-8"))):
            target = (path.parent / entry).resolve()
            assert target.exists(), f"{path}: {entry}"
            named.add(target / "kustomization.yaml" if target.is_dir() else target)
    assert named == {path for path in K8S.rglob("*") if path.is_file()}


def test_commands_are_those_of_the_command_line() -> None:
    assert len(list(containers(_base()))) == 6
    assert list(command_problems(_base())) == []


def test_variables_are_settings_and_secrets_are_referred_to() -> None:
    found = [
        (name, literal)
        for path in K8S.rglob("*")
        if path.is_file()
        for name, literal in (_of_file(path) if path.suffix == ".env" else _of_yaml(path))
    ]
    assert {"SESAC_MEMBER", "POSTGRES_PASSWORD", "KAFKA_BOOTSTRAP_SERVERS"} <= {name for name, _ in found}
    assert [why for name, literal in found if (why := variable_problem(name, literal=literal))] == []


def test_overlays_have_the_version_of_this_checkout() -> None:
    for path in OVERLAYS:
        images = yaml.safe_load((path / "kustomization.yaml").read_text("utf-8"))["images"]
        assert images == [{"name": "sesacctl", "newTag": __version__}], path.name


def test_rules_are_those_of_prometheus() -> None:
    assert rules.TARGET.read_text("utf-8") == rules.rule_object()


def _set(*path: str | int, to: object, kind: str = "StatefulSet") -> Callable[[list[dict[str, Any]]], None]:
    """A slip: the value at this path of the first object of a kind."""

    def change(items: list[dict[str, Any]]) -> None:
        place: Any = next(item for item in items if item["kind"] == kind)
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = to

    return change


_POD = ("spec", "template", "spec")
_CONTAINER = (*_POD, "containers", 0)


@pytest.mark.parametrize(
    ("slip", "said"),
    [
        (_set(*_CONTAINER, "args", 0, to="consumes"), "sesacctl consumes"),
        (_set(*_CONTAINER, "env", 0, "name", to="SESAC_MEMBERS"), "SESAC_MEMBERS is no setting"),
        (_set(*_CONTAINER, "env", 0, to={"name": "REDIS_PASSWORD", "value": "a"}), "take it from a Secret"),
        (_set(*_CONTAINER, "securityContext", to={}), "allowPrivilegeEscalation"),
        (_set(*_POD, "securityContext", "runAsUser", to=0), "runAsNonRoot"),
        (_set(*_POD, "volumes", to=[{"name": "home", "hostPath": {"path": "/"}}]), "restricted` and we want it: home"),
        (_set(*_CONTAINER, "livenessProbe", "httpGet", "port", to="http"), "livenessProbe is not"),
        (_set(*_CONTAINER, "ports", 0, "containerPort", to=9465), "not that of --metrics-port"),
        (_set(*_POD, "terminationGracePeriodSeconds", to=10), "too few for a drain"),
        (_set(*_CONTAINER, "image", to="sesacctl"), "is not sesacctl with a tag"),
        (_set("kind", to="Deployment"), "consumers are a StatefulSet"),
        (_set("spec", "template", "metadata", "labels", to={"app": "x"}), "selects no pod"),
        (_set("spec", "replicas", to=3), "would undo at each apply"),
        (_set("spec", "maxReplicaCount", to=4, kind="ScaledObject"), "4 pods for 9 partitions; at most 3"),
        (_set("spec", "minAvailable", to=1, kind="PodDisruptionBudget"), "one of minAvailable and maxUnavailable"),
        (_set("spec", "ports", 0, "targetPort", to="http", kind="Service"), "no port http"),
        (_set("spec", "partitions", to=12, kind="KafkaTopic"), "12 partitions instead of 9"),
        (_set("spec", "config", "unclean.leader.election.enable", to=True, kind="KafkaTopic"), "differs from"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_slip_in_the_consumers_is_found(
    slip: Callable[[list[dict[str, Any]]], None], said: str, rendered: list[dict[str, Any]]
) -> None:
    items = copy.deepcopy(rendered)
    slip(items)
    assert any(said in problem for problem in problems(items)), list(problems(items))


@pytest.fixture(scope="module")
def rendered() -> list[dict[str, Any]]:
    """The consumers nearly as kustomize renders them, first of the list; no problem is in them."""
    pod = yaml.safe_load((K8S / "base" / "pod.yaml").read_text("utf-8"))["spec"]["template"]["spec"]
    items = _documents(K8S / "base" / "consumers.yaml")
    spec = items[0]["spec"]["template"]["spec"]
    container = {**pod["containers"][0], **spec["containers"][0], "image": f"sesacctl:{__version__}"}
    password = {"valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}
    container["env"] += [{"name": name, **password} for name in ("POSTGRES_PASSWORD", "KAFKA_SASL_PASSWORD")]
    items[0]["spec"]["template"]["spec"] = {**pod, **spec, "containers": [container]}
    del items[0]["spec"]["replicas"]  # as the component for KEDA does
    for part in ("keda/scaler.yaml", "strimzi/kafka.yaml", "monitoring/pods.yaml"):
        items += _documents(K8S / "components" / part)
    items[0]["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/part-of"] = "sesacctl"
    items.append({"kind": "ConfigMap", "metadata": {"name": "sesacctl"}, "data": {"KAFKA_BOOTSTRAP_SERVERS": "k:9093"}})
    for item in items:
        item["metadata"]["namespace"] = "sesac"
    assert list(problems(items)) == []
    return items


def _documents(path: Path) -> list[Any]:
    return [document for document in yaml.safe_load_all(path.read_text("utf-8")) if document]


def _base() -> list[Any]:
    return [
        document
        for path in sorted((K8S / "base").glob("*.yaml"))
        if path.name not in ("kustomization.yaml", "pod.yaml")
        for document in _documents(path)
    ]


def _entries(document: dict[str, Any]) -> Iterator[str]:
    yield from (*document.get("resources", ()), *document.get("components", ()))
    yield from (patch["path"] for patch in document.get("patches", ()) if "path" in patch)
    yield from (entry for made in document.get("configMapGenerator", ()) for entry in made["envs"])


def _of_file(path: Path) -> Iterator[tuple[str, bool]]:
    for line in path.read_text("utf-8").splitlines():
        yield line.partition("=")[0], True


def _of_yaml(path: Path) -> Iterator[tuple[str, bool]]:
    """The variables of our containers: in objects, and in patches, which are text."""
    documents = _documents(path)
    for _, container in containers([item for item in documents if "kind" in item and "spec" in item]):
        yield from ((entry["name"], "value" in entry) for entry in container.get("env", ()))
    for patch in (each for document in documents for each in document.get("patches", ()) if "patch" in each):
        changes = yaml.safe_load(patch["patch"])
        for change in changes if isinstance(changes, list) else ():
            if change["path"].endswith("/env/-"):
                yield change["value"]["name"], "value" in change["value"]
