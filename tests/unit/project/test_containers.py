"""`make containers` without an engine: it does with the Compose file what the file is now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.containers import images
from tests.containers.engine import NoEngine, engine
from tests.containers.project import Project
from tests.helpers.documents import ROOT

DEPLOY = ROOT / "deploy"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text("utf-8"))["services"]


def test_standins_have_the_names_of_the_real_images() -> None:
    real = {service["image"] for service in SERVICES.values() if "build" not in service and "profiles" not in service}
    assert set(images.IMAGES.values()) == real
    for name, tag in images.IMAGES.items():
        text = (images.STANDINS / f"Dockerfile.{name}").read_text("utf-8")
        assert text.startswith(f"# Stands in for {tag}:")
        assert f"\nFROM {images.BASE}\n" in text
    assert f"FROM {images.BASE} AS build" in (DEPLOY / "Dockerfile").read_text("utf-8")


def test_scenes_are_played_with_every_service_that_stays() -> None:
    staying = {
        name for name, each in SERVICES.items() if each["restart"] == "unless-stopped" and "profiles" not in each
    }
    assert set(Project.services) == staying


def test_without_an_engine_one_line_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _name, **_: None)
    with pytest.raises(NoEngine, match=r"^docker is not installed$"), engine(tmp_path):
        pass


def test_ci_runs_the_scenes_with_the_official_images() -> None:
    workflow = yaml.safe_load((DEPLOY / "ci" / "containers.yaml").read_text("utf-8"))
    commands = [step["run"] for step in workflow["jobs"]["containers"]["steps"] if "run" in step]
    assert commands == ["make containers IMAGES=official PYTHON=python", "make deploy-check PYTHON=python"]
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for command in commands:
        assert f"\n{command.split()[1]}:" in makefile
