"""What no schema says of our Kubernetes objects: that they fit each other, the command line and the settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import SecretStr, ValidationError

from sesacctl.broker.topic_state import SAFE
from sesacctl.broker.topics import RETENTION_MS
from sesacctl.database.location import locate
from sesacctl.errors import ConfigurationError
from sesacctl.events import PARTITIONS
from sesacctl.settings import Settings, is_secret
from tests.helpers.command_line import problem

Object = Mapping[str, Any]

OURS = "sesacctl"
PART_OF = "app.kubernetes.io/part-of"
DRAIN_SECONDS = 10
_PARTITIONS_PER_POD = 3
_SLOW_SECONDS = 300
_VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
# What a pod with this label has to know of the server, in one of these ways.
_CREDENTIALS = {
    "uses-postgres": [{"POSTGRES_PASSWORD"}, {"RDS_PASSWORD"}, {"SUPABASE_DIRECT_URL"}],
    "uses-redis": [{"REDIS_PASSWORD"}, {"REDIS_URL"}],
    "uses-kafka": [{"KAFKA_SASL_PASSWORD"}, {"KAFKA_OAUTH_TOKEN_PROVIDER"}],
}


def name_of(item: Object) -> str:
    """For messages."""
    return f"{item['kind']} {item['metadata']['name']}"


def pods(items: Sequence[Object]) -> Iterator[tuple[Object, Object]]:
    """Each workload with its pod template."""
    for item in items:
        if item["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield item, item["spec"]["template"]


def containers(items: Sequence[Object]) -> Iterator[tuple[Object, Object]]:
    """Each workload with each container that runs sesacctl."""
    for item, template in pods(items):
        for container in template["spec"]["containers"]:
            if container["name"] == OURS:
                yield item, container


def command_problems(items: Sequence[Object]) -> Iterator[str]:
    """Commands that the real command line does not take."""
    for item, container in containers(items):
        if "command" in container:
            yield f"{name_of(item)}: the image's entry point is sesacctl; give arguments only"
        elif why := problem(container["args"]):
            yield f"{name_of(item)}: sesacctl {' '.join(container['args'])}: {why}"


def variable_problem(name: str, *, literal: bool) -> str | None:
    """Why a container should not have this variable; `literal` if the manifest has its value."""
    field = Settings.model_fields.get(name.lower())
    if field is None:
        return f"{name} is no setting"
    return f"{name} is a secret: take it from a Secret" if literal and is_secret(field) else None


def problems(items: Sequence[Object]) -> Iterator[str]:
    """All of it, for what one overlay renders to."""
    yield from command_problems(items)
    yield from _environment_problems(items)
    yield from _security_problems(items)
    yield from _selector_problems(items)
    yield from _probe_problems(items)
    yield from _replacement_problems(items)
    yield from _scaler_problems(items)
    yield from _topic_problems(items)
    for item in items:
        if item["kind"] == "Secret":
            yield f"{name_of(item)}: secrets are made by the operators of the cluster, not here"
        if item["kind"] != "Namespace" and item["metadata"].get("namespace") != "sesac":
            yield f"{name_of(item)}: is in no namespace"


def _environment_problems(items: Sequence[Object]) -> Iterator[str]:
    maps = {item["metadata"]["name"]: item.get("data", {}) for item in items if item["kind"] == "ConfigMap"}
    for item, container in containers(items):
        values: dict[str, str] = {}
        for source in container.get("envFrom", ()):
            name = source["configMapRef"]["name"]
            if name not in maps:
                yield f"{name_of(item)}: ConfigMap {name} is not there"
            values |= maps.get(name, {})
            if (item["kind"] == "Job") is not (name == "sesacctl-jobs"):
                yield f"{name_of(item)}: takes its settings from {name}"
        literal = set(values)
        for entry in container.get("env", ()):
            if "value" in entry:
                literal.add(entry["name"])
            values[entry["name"]] = entry.get("value") or _value_of(item, entry)
        yield from (
            f"{name_of(item)}: {why}"
            for name in values
            if (why := variable_problem(name, literal=name in literal)) is not None
        )
        labels = item["spec"]["template"]["metadata"]["labels"]
        for label, ways in _CREDENTIALS.items():
            if label in labels and not any(way <= values.keys() for way in ways):
                yield f"{name_of(item)}: has the label {label} and not what the server asks for"
        yield from (f"{name_of(item)}: {why}" for why in _value_problems(values, labels))


def _value_of(item: Object, entry: Object) -> str:
    """What a pod could find in a variable that is taken from elsewhere."""
    field = entry["valueFrom"].get("fieldRef", {}).get("fieldPath")
    return f"{item['metadata']['name']}-0" if field == "metadata.name" else "postgresql://u:p@h.example.com:5432/d"


def _value_problems(values: Mapping[str, str], labels: Mapping[str, str]) -> Iterator[str]:
    try:
        # No `.env` and no environment of this process: only what the pod has.
        settings = Settings.model_validate(
            {
                name.lower(): SecretStr(value) if is_secret(Settings.model_fields[name.lower()]) else value
                for name, value in values.items()
                if name.lower() in Settings.model_fields
            }
        )
        if "uses-postgres" in labels:
            locate(settings)
    except (ValidationError, ConfigurationError) as error:
        yield str(error)
    if "uses-kafka" in labels and "KAFKA_BOOTSTRAP_SERVERS" not in values:
        yield "KAFKA_BOOTSTRAP_SERVERS is not set"


def _security_problems(items: Sequence[Object]) -> Iterator[str]:
    """Pod Security `restricted`, and what we ask for beyond it."""
    for item, template in pods(items):
        spec = template["spec"]
        wrong = _wrong_in_pod(spec)
        for container in (*spec["containers"], *spec.get("initContainers", ())):
            wrong += _wrong_in_container(container)
        if wrong:
            yield f"{name_of(item)}: not as Pod Security `restricted` and we want it: {', '.join(wrong)}"
    enforced = "pod-security.kubernetes.io/enforce"
    for item in items:
        if item["kind"] == "Namespace" and item["metadata"]["labels"].get(enforced) != "restricted":
            yield f"{name_of(item)}: does not enforce Pod Security `restricted`"


def _wrong_in_pod(spec: Object) -> list[str]:
    context = spec.get("securityContext", {})
    wrong = [key for key in ("hostNetwork", "hostPID", "hostIPC", "hostUsers") if key in spec]
    if not context.get("runAsNonRoot") or context.get("runAsUser") == 0:
        wrong.append("runAsNonRoot")
    if context.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        wrong.append("seccompProfile")
    if spec.get("automountServiceAccountToken") is not False:
        wrong.append("automountServiceAccountToken")
    return wrong + [each["name"] for each in spec.get("volumes", ()) if not (each.keys() - {"name"}) <= _VOLUMES]


def _wrong_in_container(container: Object) -> list[str]:
    context = container.get("securityContext", {})
    found = {
        "allowPrivilegeEscalation": context.get("allowPrivilegeEscalation") is False,
        "capabilities": context.get("capabilities") == {"drop": ["ALL"]},
        "readOnlyRootFilesystem": context.get("readOnlyRootFilesystem") is True,
        "no memory limit": "memory" in container.get("resources", {}).get("limits", {}),
    }
    return [name for name, right in found.items() if not right]


def _matching(items: Sequence[Object], labels: Mapping[str, str]) -> list[Object]:
    return [template for _, template in pods(items) if labels.items() <= template["metadata"]["labels"].items()]


def _port_problems(item: Object, port: object, templates: Sequence[Object]) -> Iterator[str]:
    if isinstance(port, str):
        for template in templates:
            for container in template["spec"]["containers"]:
                if port in {each["name"] for each in container.get("ports", ())}:
                    break
            else:
                if "ports" in template["spec"]["containers"][0]:
                    yield f"{name_of(item)}: no port {port} in {template['metadata']['labels']}"


def _selector_problems(items: Sequence[Object]) -> Iterator[str]:
    for item in items:
        if (selected := _selected(item)) is None:
            continue
        labels, ports = selected
        if not labels:
            yield f"{name_of(item)}: is for the pods of operators, too"
        if not (found := _matching(items, labels)):
            yield f"{name_of(item)}: selects no pod: {labels}"
        for port in ports:
            yield from _port_problems(item, port, found)
        if PART_OF in labels and item["kind"] in ("Deployment", "StatefulSet"):
            yield f"{name_of(item)}: a selector cannot be changed later, so it has only the name"
    yield from _budget_problems(items)


def _selected(item: Object) -> tuple[Mapping[str, str], list[object]] | None:
    """The labels by which an object selects pods, and their ports that it names."""
    spec = item.get("spec", {})
    match item["kind"]:
        case "Service":
            return spec["selector"], [each["targetPort"] for each in spec["ports"]]
        case "NetworkPolicy":
            ports = [each["port"] for rule in spec.get("ingress", ()) for each in rule.get("ports", ())]
            return spec["podSelector"].get("matchLabels", {}), ports
        case "PodMonitor":
            return spec["selector"]["matchLabels"], [each["port"] for each in spec["podMetricsEndpoints"]]
        case "Deployment" | "StatefulSet" | "PodDisruptionBudget":
            return spec["selector"]["matchLabels"], []
    return None


def _budget_problems(items: Sequence[Object]) -> Iterator[str]:
    budgets = [item for item in items if item["kind"] == "PodDisruptionBudget"]
    for item in budgets:
        if len({"minAvailable", "maxUnavailable"} & item["spec"].keys()) != 1:
            yield f"{name_of(item)}: one of minAvailable and maxUnavailable"
    selectors = [item["spec"]["selector"]["matchLabels"] for item in budgets]
    for item, template in pods(items):
        several = item["kind"] == "StatefulSet" or item["spec"].get("replicas", 1) > 1
        if several and not any(labels.items() <= template["metadata"]["labels"].items() for labels in selectors):
            yield f"{name_of(item)}: has no PodDisruptionBudget"


def _probe_problems(items: Sequence[Object]) -> Iterator[str]:
    for item, container in containers(items):
        ports = {each["name"]: each["containerPort"] for each in container.get("ports", ())}
        if item["kind"] == "Job":
            continue
        arguments = container["args"]
        option = "--port" if arguments[0] == "metrics" else "--metrics-port"
        if option not in arguments or int(arguments[arguments.index(option) + 1]) != ports.get("metrics"):
            yield f"{name_of(item)}: port metrics is not that of {option}"
        for kind, path in (("startupProbe", "/livez"), ("livenessProbe", "/livez"), ("readinessProbe", "/readyz")):
            if container.get(kind, {}).get("httpGet") != {"path": path, "port": "metrics"}:
                yield f"{name_of(item)}: {kind} is not {path} of port metrics"


def _replacement_problems(items: Sequence[Object]) -> Iterator[str]:
    """What happens to the old when a new version comes."""
    for item, container in containers(items):
        image, _, tag = container["image"].rpartition(":")
        if image.rpartition("/")[2] != OURS or not tag:
            yield f"{name_of(item)}: image {container['image']} is not sesacctl with a tag"
        grace = item["spec"]["template"]["spec"].get("terminationGracePeriodSeconds", 30)
        if grace <= DRAIN_SECONDS:
            yield f"{name_of(item)}: {grace} s are too few for a drain"
        if item["kind"] == "Job":
            yield from _job_problems(item, tag)
        elif "consume" in container["args"]:
            yield from _consumer_problems(item, container)
        elif "produce" in container["args"]:
            surge = item["spec"].get("strategy", {}).get("rollingUpdate", {}).get("maxSurge")
            if surge != 0 or item["spec"].get("replicas") != 1:
                yield f"{name_of(item)}: two producers at a time have twice the rate"


def _job_problems(item: Object, tag: str) -> Iterator[str]:
    if not item["metadata"]["name"].endswith(f"-{tag}"):
        yield f"{name_of(item)}: its name has not the version {tag}, and a Job cannot be changed"
    if item["spec"]["template"]["spec"].get("restartPolicy") not in ("Never", "OnFailure"):
        yield f"{name_of(item)}: a Job restarts on failure or never"


def _consumer_problems(item: Object, container: Object) -> Iterator[str]:
    # A StatefulSet's pod has gone before its successor comes, so no two have one name.
    if item["kind"] != "StatefulSet" or item["spec"].get("updateStrategy", {}).get("type") == "OnDelete":
        yield f"{name_of(item)}: consumers are a StatefulSet with rolling updates"
    fields = {
        each["name"]: each["valueFrom"]["fieldRef"]["fieldPath"]
        for each in container.get("env", ())
        if "fieldRef" in each.get("valueFrom", {})
    }
    if fields.get("SESAC_MEMBER") != "metadata.name":
        yield f"{name_of(item)}: SESAC_MEMBER is not the pod's name"


def _scaler_problems(items: Sequence[Object]) -> Iterator[str]:
    workloads = {(item["kind"], item["metadata"]["name"]): item for item, _ in pods(items)}
    authentications = {item["metadata"]["name"] for item in items if item["kind"] == "TriggerAuthentication"}
    for item in items:
        if item["kind"] != "ScaledObject":
            continue
        spec = item["spec"]
        target = workloads.get((spec["scaleTargetRef"]["kind"], spec["scaleTargetRef"]["name"]))
        if target is None:
            yield f"{name_of(item)}: scales what is not there"
            continue
        if "replicas" in target["spec"]:
            yield f"{name_of(target)}: `replicas` would undo at each apply what KEDA decided"
        arguments = target["spec"]["template"]["spec"]["containers"][0]["args"]
        instances = int(arguments[arguments.index("--instances") + 1])
        down = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
        if down["stabilizationWindowSeconds"] < _SLOW_SECONDS or down["policies"][0]["value"] != 1:
            yield f"{name_of(item)}: scales down fast"
        for trigger in spec["triggers"]:
            partitions = PARTITIONS.get(trigger["metadata"]["topic"], 0)
            most = min(partitions // instances, partitions // _PARTITIONS_PER_POD)
            if spec["maxReplicaCount"] > most:
                yield f"{name_of(item)}: {spec['maxReplicaCount']} pods for {partitions} partitions; at most {most}"
            if trigger["authenticationRef"]["name"] not in authentications:
                yield f"{name_of(item)}: no TriggerAuthentication {trigger['authenticationRef']['name']}"


def _topic_problems(items: Sequence[Object]) -> Iterator[str]:
    """Strimzi's topics are those that `topics init` would make."""
    topics = {item["metadata"]["name"]: item["spec"] for item in items if item["kind"] == "KafkaTopic"}
    for name, partitions in PARTITIONS.items() if topics else ():
        spec = topics.get(name, {})
        if spec.get("partitions") != partitions:
            yield f"KafkaTopic {name}: {spec.get('partitions')} partitions instead of {partitions}"
        config = {key: str(value).lower() for key, value in spec.get("config", {}).items()}
        wanted = {"retention.ms": str(RETENTION_MS), "min.insync.replicas": "2", **SAFE}
        if wrong := wanted.items() - config.items():
            yield f"KafkaTopic {name}: differs from `topics init` in {', '.join(sorted(key for key, _ in wrong))}"
