"""The README's and the library guide's runnable blocks, in order, as a reader would copy them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sesacctl.database.samples import seed
from sesacctl.pipeline.refresh.worker import Refresher
from sesacctl.settings import Settings
from tests.helpers import documents
from tests.helpers.documents import ENGLISH, ROOT, SHELL, Block
from tests.helpers.servers import RunningStack


@pytest.fixture
def reader(environment: dict[str, str], stack: RunningStack) -> dict[str, str]:
    """A reader's shell: `sesacctl` is found, and `up` finds the stack of this run, so that it starts nothing."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    return {**environment, "PATH": path, "SESAC_HOME": str(stack.home)}


def test_readme_step_by_step(reader: dict[str, str], tmp_path: Path) -> None:
    runnable = [block for block in documents.blocks(ENGLISH.read_text("utf-8")) if block.runnable]
    commands = [words for block in runnable if block.language in SHELL for words in _commands(block)]
    assert [words[0] for words in commands] == [
        "up", "db", "db", "cache", "topics", "produce", "consume", "audit", "health",
    ]  # fmt: skip
    for block in runnable:
        _shows_what_it_says(block, _run(block, reader, tmp_path))


def test_library_guide(reader: dict[str, str], settings: Settings, tmp_path: Path) -> None:
    seed.seed(settings, users=20, products=20)
    with Refresher(settings) as refresher:
        refresher.run_once()
    runnable = [
        block for block in documents.blocks((ROOT / "docs" / "library.md").read_text("utf-8")) if block.runnable
    ]
    assert len(runnable) >= 6
    for block in runnable:
        _run(block, reader, tmp_path)


def _commands(block: Block) -> list[list[str]]:
    return list(documents.shell_commands(block.content))


def _run(block: Block, environment: dict[str, str], folder: Path) -> str:
    shell = ["bash", "-euo", "pipefail", "-c"] if block.language in SHELL else [sys.executable, "-c"]
    done = subprocess.run(
        [*shell, block.content],
        env=environment,
        cwd=folder,
        timeout=120,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{block.content}\n{done.stdout}"
    return done.stdout


def _shows_what_it_says(block: Block, output: str) -> None:
    """Figures and the test's own group differ from run to run; every other word that is shown must be there."""
    words = re.findall(r"[^\W\d_]{4,}", block.output.replace("group sesacctl", "group"))
    assert [word for word in dict.fromkeys(words) if word not in output] == [], f"{block.content}\n{output}"
