"""What runs outside `make` (CI, hooks, templates) names what there is; tests have names and folders by rule."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.helpers import documents
from tests.helpers.command_line import problem
from tests.helpers.documents import ROOT

GITHUB = ROOT / ".github"
SMOKE = ROOT / "deploy" / "ci" / "smoke.yaml"
WORKFLOW = GITHUB / "workflows" / "ci.yml"
HOOKS = ROOT / ".pre-commit-config.yaml"
TEMPLATES = (GITHUB / "pull_request_template.md", GITHUB / "ISSUE_TEMPLATE" / "bug.md", ROOT / "SECURITY.md")
TESTS, UNIT = ROOT / "tests", ROOT / "tests" / "unit"
HELPERS = {"helpers", "samples", "compat", "containers", "deploy", "planted", "faults", "hostile", "release"}
LONGEST_NAME = 60
TEXT = {".py", ".md", ".toml", ".yml", ".yaml", ".in", ".sql", ".ini", ""}


def read(path: Path) -> Any:
    """A YAML document; a key that stands twice would hide the first."""
    return yaml.load(path.read_text("utf-8"), _OnceOnly)


class _OnceOnly(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML has no types
    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"twice: {keys}"
        return super().construct_mapping(node, deep)


@pytest.fixture(scope="module")
def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return found


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    found: dict[str, Any] = read(WORKFLOW)["jobs"]
    return found


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def scripts(job: Any) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


@pytest.mark.parametrize("path", sorted(GITHUB.rglob("*.yml")), ids=lambda path: path.name)
def test_github_files_can_be_read(path: Path) -> None:
    assert read(path)


def test_ci_runs_on_the_versions_that_the_package_names(project: dict[str, Any], jobs: dict[str, Any]) -> None:
    named = re.findall(r":: Python :: (3\.\d+)$", "\n".join(project["classifiers"]), re.MULTILINE)
    assert jobs["check"]["strategy"]["matrix"]["python"] == named
    assert project["requires-python"] == f">={named[0]}"
    assert [name for name, job in jobs.items() if _version(job) not in {*named, "${{ matrix.python }}"}] == []


def _version(job: Any) -> str:
    return next(str(step["with"]["python-version"]) for step in job["steps"] if "setup-python" in step.get("uses", ""))


def test_ci_calls_make_targets_that_exist(jobs: dict[str, Any]) -> None:
    called = [words[0] for job in jobs.values() for run in scripts(job) for words in _make(run)]
    assert {"check", "test", "docs"} <= set(called) <= targets()


def _make(script: str) -> list[list[str]]:
    return list(documents.shell_commands(script, "make"))


def test_ci_runs_the_documented_smoke_test(jobs: dict[str, Any]) -> None:
    assert jobs["smoke"] == read(SMOKE)["jobs"]["smoke"]


def test_commands_in_ci_exist(jobs: dict[str, Any]) -> None:
    commands = [words for job in jobs.values() for run in scripts(job) for words in documents.shell_commands(run)]
    assert len(commands) >= 6
    assert [f"{' '.join(words)}: {found}" for words in commands if (found := problem(words))] == []


def test_ci_may_only_read() -> None:
    assert read(WORKFLOW)["permissions"] == {"contents": "read"}


def test_hooks_fetch_nothing() -> None:
    repositories = read(HOOKS)["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    assert {hook["language"] for hook in repositories[0]["hooks"]} == {"system", "pygrep"}


def test_hooks_run_programs_of_the_lock() -> None:
    programs = {hook["entry"].split()[0] for hook in _hooks("system")}
    assert programs == {".venv/bin/ruff", ".venv/bin/lint-imports", ".venv/bin/python"}
    checked = (ROOT / "Makefile").read_text("utf-8").partition("\ncheck:")[2].partition("\n\n")[0]
    for name in ("ruff", "lint-imports"):
        assert f"$(BIN)/{name}" in checked


@pytest.mark.parametrize("hook", ["trailing-whitespace", "end-of-file"])
def test_files_pass_the_hooks_patterns(hook: str) -> None:
    """Else everybody's first commit is refused for lines of others."""
    found = next(candidate for candidate in _hooks("pygrep") if candidate["id"] == hook)
    whole = "--multiline" in found.get("args", [])
    pattern, exclude = re.compile(found["entry"], re.MULTILINE), re.compile(found["exclude"])
    assert pattern.search("x = 1 \n\n") if not whole else pattern.search("x = 1")
    bad = []
    for path in _texts():
        text = path.read_text("utf-8")
        if not exclude.search(path.name) and any(map(pattern.search, [text] if whole else text.splitlines())):
            bad.append(str(path.relative_to(ROOT)))
    assert bad == []


def _hooks(language: str) -> list[dict[str, Any]]:
    return [hook for hook in read(HOOKS)["repos"][0]["hooks"] if hook["language"] == language]


def _texts() -> list[Path]:
    folders = [ROOT / name for name in ("sesacctl", "tests", "benchmarks", "migrations", "deploy", "docs", ".github")]
    files = [path for folder in folders for path in folder.rglob("*")] + list(ROOT.glob("*")) + [HOOKS]
    return [path for path in files if path.is_file() and not path.is_symlink() and path.suffix in TEXT]


def test_dependabot_leaves_kafka_python_alone(project: dict[str, Any]) -> None:
    updates = {update["package-ecosystem"]: update for update in read(GITHUB / "dependabot.yml")["updates"]}
    assert updates.keys() == {"pip", "github-actions"}
    assert [entry["dependency-name"] for entry in updates["pip"]["ignore"]] == ["kafka-python"]
    bounded = [name for name in project["dependencies"] if name.startswith("kafka-python")]
    assert len(bounded) == 1
    assert ",<" in bounded[0]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_templates_name_what_exists(path: Path) -> None:
    text = path.read_text("utf-8")
    commands = list(documents.documented_commands(text))
    assert [f"{' '.join(words)}: {found}" for words in commands if (found := problem(words))] == []
    assert {words[0] for block in documents.blocks(text) for words in _make(block.content)} <= targets()
    named = re.findall(r"\b(?:[\w.]+/)*[\w.]+\.(?:md|py)\b", text)
    assert [name for name in named if not (ROOT / name).exists()] == []
    assert "@" not in text, "an address that nobody may read"


def test_issue_template_has_the_fields_that_github_needs() -> None:
    head = yaml.safe_load((GITHUB / "ISSUE_TEMPLATE" / "bug.md").read_text("utf-8").split("---\n")[1])
    assert {"name", "about"} <= head.keys()


def test_pull_requests_name_both_commands() -> None:
    assert "make check\nmake test\n" in (GITHUB / "pull_request_template.md").read_text("utf-8")


def test_editors_know_the_line_length() -> None:
    """The same as ruff's, and tabs where make needs them."""
    text = (ROOT / ".editorconfig").read_text("utf-8")
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]
    assert f"[*.py]\nmax_line_length = {ruff['line-length']}\n" in text
    assert "[Makefile]\nindent_style = tab\n" in text


def test_the_published_package_is_marked_as_typed(project: dict[str, Any]) -> None:
    assert "Typing :: Typed" in project["classifiers"]
    assert (ROOT / "sesacctl" / "py.typed").exists()
    assert project["keywords"]


def test_modules_run_as_programs_come_with_the_lock() -> None:
    """An environment that uv makes has no pip; one that venv makes has."""
    pattern = re.compile(r'sys\.executable,\s*"-m",\s*"(\w+)')
    ran = {
        name
        for top in ("tests", "benchmarks")
        for path in (ROOT / top).rglob("*.py")
        for name in pattern.findall(path.read_text("utf-8"))
    }
    assert {"pip", "hatchling", "sesacctl"} <= ran
    locked = set(re.findall(r"^([\w-]+)==", (ROOT / "requirements.lock").read_text("utf-8"), re.MULTILINE))
    assert ran - locked - sys.stdlib_module_names - {"sesacctl", "tests", "benchmarks"} == set()


def test_names_of_tests_are_short() -> None:
    """Subject, condition, outcome: what is longer is read by nobody."""
    found = [(path, node) for path in TESTS.rglob("*.py") for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    names = [
        f"{path.relative_to(TESTS)}::{node.name}"
        for path, node in found
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
    ]
    assert len(names) > 500
    assert [name for name in names if len(name.partition("::")[2]) > LONGEST_NAME] == []


def test_files_of_tests_have_names_of_their_own() -> None:
    """Else pytest imports one of two and refuses the other."""
    names = Counter(path.name for path in TESTS.rglob("test_*.py"))
    assert names.total() > 100
    assert [name for name, times in names.items() if times > 1] == []


def test_unit_tests_lie_in_the_room_of_what_they_test() -> None:
    """tests/unit/pipeline/sink has the tests of sesacctl/pipeline/sink."""
    folders = {path.parent.relative_to(UNIT) for path in UNIT.rglob("test_*.py")}
    assert len(folders) > 10
    rooms = {path.parent.relative_to(ROOT / "sesacctl") for path in (ROOT / "sesacctl").rglob("*.py")}
    assert folders - rooms == {Path("project")}


def test_helpers_lie_in_folders_of_their_own() -> None:
    modules = {path.relative_to(TESTS) for path in TESTS.rglob("*.py") if not path.name.startswith("test_")}
    assert len(modules) > 20
    assert [str(path) for path in modules - {Path("conftest.py")} if path.parts[0] not in HELPERS] == []
