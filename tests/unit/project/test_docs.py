"""The documents say what is so: commands, settings, exit codes and error texts exist, and both languages agree."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from sesacctl import errors
from sesacctl.cli import boundary
from tests.helpers import documents
from tests.helpers.command_line import leaves, problem
from tests.helpers.documents import DOCUMENTS, ENGLISH, KOREAN, ROOT

SHORTEST_TEXT = 12  # so that `{server}: {problem}` is not the text of everything
PATH = re.compile(r"^(?:sesacctl|tests|benchmarks|docs|migrations)/[\w./-]*$")
TROUBLESHOOTING = re.compile(r"^## Troubleshooting\n(.*?)^## ", re.MULTILINE | re.DOTALL)


def test_both_languages_have_the_same_headings() -> None:
    english, korean = (documents.headings(path.read_text("utf-8")) for path in (ENGLISH, KOREAN))
    assert [level for level, _ in english] == [level for level, _ in korean]
    assert len(english) > 10


def test_both_languages_have_the_same_blocks() -> None:
    english, korean = (documents.blocks(path.read_text("utf-8")) for path in (ENGLISH, KOREAN))
    assert korean == english
    assert sum(block.runnable for block in english) >= 7


def test_both_languages_name_the_same_things() -> None:
    english, korean = (set(documents.code_spans(path.read_text("utf-8"))) for path in (ENGLISH, KOREAN))
    assert english ^ korean == set()


@pytest.mark.parametrize(
    ("document", "table"), [(ENGLISH, documents.english_table), (KOREAN, documents.korean_table)], ids=["en", "ko"]
)
def test_settings_table_is_up_to_date(document: Path, table: object) -> None:
    assert callable(table)
    assert documents.shown_table(document) == table(), "python -m tests.helpers.documents writes it"
    assert "|  |\n" not in table(), "a setting has no description"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documented_commands_exist(document: Path) -> None:
    commands = list(documents.documented_commands(document.read_text("utf-8")))
    assert [f"{' '.join(words)}: {found}" for words in commands if (found := problem(words))] == []


def test_every_command_is_in_the_documents() -> None:
    texts = [path.read_text("utf-8") for path in DOCUMENTS if path != KOREAN]
    named = {tuple(words[:2]) for text in texts for words in documents.documented_commands(text)}
    missing = [leaf for leaf in leaves() if not any(words[: len(leaf)] == leaf for words in named)]
    assert missing == []


def test_a_command_line_that_does_not_exist_is_noticed() -> None:
    assert problem(["db", "init", "--wait"]) is None
    assert problem(["produce", "--rate", "fast"])
    assert problem(["produce", "--speed", "9"])
    assert problem(["db", "explode"])
    assert problem(["cache", "sample", "orders"])
    assert problem(["consume", "orders"])


def test_commands_are_found_in_scripts() -> None:
    script = 'eval "$(sesacctl stack env)"\nA=b sesacctl up && .venv/bin/sesacctl db init \\\n  --wait | head\n'
    assert list(documents.shell_commands(script)) == [["stack", "env"], ["up"], ["db", "init", "--wait"]]


def test_exit_codes_are_those_of_the_errors() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.exit_code for kind in kinds if issubclass(kind, errors.SesacctlError)}
    expected = {errors.OK, errors.INTERRUPTED_TWICE, boundary.OUTPUT_CLOSED, *codes}
    section = ENGLISH.read_text("utf-8").partition("## Exit codes\n")[2].partition("\n## ")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)} == expected


def test_error_texts_are_those_of_the_program() -> None:
    section = TROUBLESHOOTING.search(ENGLISH.read_text("utf-8"))
    assert section
    said = _texts_of_the_program()
    quoted = re.findall(r"^\| `([^`]+)`", section[1], re.MULTILINE)
    assert len(quoted) > 15
    assert [text for text in quoted if not any(pattern.fullmatch(text) for pattern in said)] == []


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    scripts = [block.content for path in DOCUMENTS for block in documents.blocks(path.read_text("utf-8"))]
    named = {words[0] for script in scripts for words in documents.shell_commands(script, "make")}
    assert {"demo", "test"} <= named <= targets


@pytest.mark.parametrize("document", [ENGLISH, KOREAN], ids=["en", "ko"])
def test_every_picture_is_shown(document: Path) -> None:
    shown = re.findall(r"!\[[^\]]+\]\(docs/pictures/([^)]+)\)", document.read_text("utf-8"))
    made = [path.name for form in ("*.svg", "page-*.png") for path in (ROOT / "docs" / "pictures").glob(form)]
    assert sorted(shown) == sorted(made)


def test_links_lead_somewhere() -> None:
    broken = [
        f"{document.name}: {target}"
        for document in DOCUMENTS
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text("utf-8"))
        if "://" not in target and not (document.parent / target).exists()
    ]
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_paths_in_the_documents_exist(document: Path) -> None:
    named = [span for span in documents.code_spans(document.read_text("utf-8")) if PATH.match(span)]
    assert [name for name in named if not (ROOT / name).exists()] == []


def _texts_of_the_program() -> list[re.Pattern[str]]:
    """Every text in the sources, in front of and behind which more may stand (`…`); a value in it is anything."""
    patterns = []
    for path in sorted((ROOT / "sesacctl").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                parts: list[str | None] = [node.value.strip().partition("\n")[0]]
            elif isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else None for part in node.values]
            else:
                continue
            if sum(len(part) for part in parts if part) > SHORTEST_TEXT:
                text = "".join(".+" if part is None else re.escape(part) for part in parts)
                patterns.append(re.compile(f"(… ?)?{text}( ?…)?"))
    return patterns
