"""The jars of one version of Kafka, resolved anew: `python -m tests.compat.locks 3.9.1` prints its lock.

Made like the lock of the local stack. Kafka 3.x logs through reload4j: it gets Log4j 2's bridge instead, so that one
file of settings shows the log of every version.
"""

from __future__ import annotations

import hashlib
import sys
import tempfile
from pathlib import Path
from typing import Any

from jgo.maven import MavenContext

from sesacctl.stack.jars import Jar

_LOG4J = "2.25.5"
_LOGGING_GROUP = "org.apache.logging.log4j"
_SCOPES = ("compile", "runtime")
_LEFT_OUT = {"reload4j", "slf4j-reload4j", "slf4j-log4j12", "log4j"}


def resolve(kafka: str, folder: Path) -> list[Jar]:
    """Every jar that a broker of this version needs, with its sum, by name; they are downloaded to `folder`."""
    maven = MavenContext(repo_cache=folder, local_repos=[])
    roots = [("org.apache.kafka", "kafka_2.13", kafka), (_LOGGING_GROUP, "log4j-slf4j-impl", _LOG4J)]
    if kafka.startswith("3."):
        roots.append((_LOGGING_GROUP, "log4j-1.2-api", _LOG4J))
    found: dict[tuple[str, str], Jar] = {}
    for group, name, version in roots:
        component = maven.project(group, name).at_version(version)
        _add(found, component.artifact())
        _, nodes = maven.pom_dependency_list(component.pom())
        for node in nodes:
            if node.dep.scope in _SCOPES and node.dep.artifactId not in _LEFT_OUT:
                _add(found, node.dep.artifact)
    return [found[key] for key in sorted(found)]


def _add(found: dict[tuple[str, str], Jar], artifact: Any) -> None:
    key = (artifact.groupId, artifact.artifactId)
    if key not in found:
        content = Path(artifact.resolve()).read_bytes()
        found[key] = Jar(*key, artifact.version, hashlib.sha256(content).hexdigest())


def written(kafka: str, jars: list[Jar]) -> str:
    """The text of a lock."""
    head = f'# Resolved by: python -m tests.compat.locks {kafka}\nkafka = "{kafka}"\n'
    entries = (
        f'\n[[jar]]\ngroup = "{jar.group}"\nartifact = "{jar.artifact}"\n'
        f'version = "{jar.version}"\nsha256 = "{jar.sha256}"\n'
        for jar in jars
    )
    return head + "".join(entries)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        print(written(sys.argv[1], resolve(sys.argv[1], Path(scratch))), end="")
