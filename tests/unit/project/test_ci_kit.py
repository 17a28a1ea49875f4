"""The GitHub Action and the GitLab template: commands that exist, in one order, and no value that is run as code."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.command_line import problem
from tests.helpers.documents import ROOT
from tests.unit.project.test_habits import read

KIT = ROOT / "deploy" / "ci"
STEP = KIT / "step.sh"
_COMMAND = re.compile(
    r"\bsesacctl ((?:up|fetch|demo|consume|smoke|health|audit|stack|down)\b(?: (?!2>|[|&>])[^\s;)']+)*)"
)
_CODE = re.compile(r"^\| (\d+) \| (.+) \|$", re.MULTILINE)


@pytest.fixture(scope="module")
def action() -> dict[str, Any]:
    found: dict[str, Any] = read(KIT / "action.yml")
    return found


@pytest.fixture(scope="module")
def template() -> dict[str, Any]:
    found: dict[str, Any] = read(KIT / "gitlab.yml")[".sesacctl"]
    return found


def steps(action: dict[str, Any]) -> list[dict[str, Any]]:
    return [step for step in action["runs"]["steps"] if "run" in step]


def commands(script: str) -> list[list[str]]:
    return [found.replace('"$ORDERS"', "20000").split() for found in _COMMAND.findall(script)]


def lines(template: dict[str, Any]) -> str:
    return "\n".join(line for part in ("before_script", "script", "after_script") for line in template[part])


def test_commands_of_both_exist_and_are_the_same(action: dict[str, Any], template: dict[str, Any]) -> None:
    found = commands("\n".join(step["run"] for step in steps(action)))
    assert [f"{words}: {wrong}" for words in found if (wrong := problem(words))] == []
    ours = [words for words in found if words[:2] != ["stack", "logs"]]
    assert ours == commands(lines(template))
    names = [words[0] for words in ours]
    assert names == ["fetch", "up", "demo", "consume", "smoke", "stack", "health", "audit", "down"]


def test_no_input_stands_in_a_script(action: dict[str, Any]) -> None:
    assert [step["name"] for step in steps(action) if "${{" in step["run"]] == []
    used = {name for step in steps(action) for name in re.findall(r"\$([A-Z]+)\b", step["run"]) if name in ("PACKAGE",)}
    assert used == {"PACKAGE"}
    assert {step["shell"] for step in steps(action)} == {"bash"}


def test_inputs_of_the_action_have_defaults(action: dict[str, Any]) -> None:
    assert set(action["inputs"]) == {"package", "python", "orders", "run"}
    assert all({"description", "default"} <= each.keys() for each in action["inputs"].values())


def test_servers_are_stopped_and_audited_after_a_failure(action: dict[str, Any], template: dict[str, Any]) -> None:
    named = {step.get("name"): step.get("if", "") for step in action["runs"]["steps"]}
    assert all(named[name].startswith("always()") for name in ("Health", "Audit", "Stop"))
    assert template["after_script"] == [".venv-sesacctl/bin/sesacctl down --purge --yes"]
    assert template["artifacts"]["when"] == "always"
    assert template["artifacts"]["reports"]["junit"] == ["health.xml", "audit.xml"]


def test_packages_and_jars_are_cached(action: dict[str, Any], template: dict[str, Any]) -> None:
    kept = [step["with"] for step in action["runs"]["steps"] if step.get("uses", "").startswith("actions/cache@")]
    assert [each["path"] for each in kept] == ["~/.cache/pip", "~/.cache/sesacctl/jars"]
    assert len({each["key"] for each in kept}) == 2
    assert [each["paths"] for each in template["cache"]] == [[".cache/pip"], [".cache/sesacctl/jars"]]
    assert template["variables"]["XDG_CACHE_HOME"].endswith("/.cache")


def run_step(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([STEP, *arguments], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("code", [1, 2, 3, 4, 5, 6, 130])
def test_a_failure_is_a_line_that_github_shows(code: int, tmp_path: Path) -> None:
    done = run_step(tmp_path, "-", "sh", "-c", f"exit {code}")
    assert done.returncode == code
    found = re.fullmatch(r"::error title=sh -c exit \d+::(.+) \(exit code (\d+)\)\n", done.stdout)
    assert found
    assert found[2] == str(code)
    meanings = dict(_CODE.findall((ROOT / "README.md").read_text("utf-8")))
    if code < 100:
        assert meanings[str(code)].startswith(found[1])


def test_a_report_holds_the_result_and_not_the_error_line(tmp_path: Path) -> None:
    done = run_step(tmp_path, "audit.xml", "sh", "-c", "echo '<x/>'; exit 5")
    assert (tmp_path / "audit.xml").read_text() == "<x/>\n"
    assert (done.returncode, done.stdout.count("::error")) == (5, 1)


def test_a_success_says_nothing_more(tmp_path: Path) -> None:
    done = run_step(tmp_path, "-", "echo", "fine")
    assert (done.returncode, done.stdout) == (0, "fine\n")
