"""What is read is plain English, in code as in documents: phrases that sounded translated do not come back, nor their
Korean like.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.documents import DOCUMENTS, KOREAN, ROOT

PACKAGE = ROOT / "sesacctl"
# Files whose docstrings users read, as help and as messages of errors.
SHOWN = ("cli/", "errors.py")
INSTEAD = {
    r"\banew\b": "again, from scratch",
    r"\bfor ever\b": "without limit, forever",
    r"\bwhoever\b": "who, the one that",
    r"\bof ours\b": "our, sesacctl's",
    r"\b(?:is|are) not ours\b|\bis none of ours\b": "is not sesacctl's, unexpected",
    r"\bat the most\b": "at most",
    r"\b(?:go|goes|going) on\b": "continue",
    r"(?<![Tt]here )\b(?:is|are) no (?!longer\b|such\b|more\b)": "is not a",
    r"\b[Gg]ives (?:how|what|the|a|None)\b": "returns",
    r"\bsigns? of life\b": "heartbeat, liveness",
    r"\b(?:again and again|dies again)\b": "repeatedly, keeps crashing",
    r"\bmend(?:s|ed|ing)?\b": "fix",
}
INSTEAD_IN_KOREAN = {
    "명령행": "명령줄",
    "루프": "파이프라인, 워커",
    "순환": "파이프라인",
    "일하는": "동작 중인",
    "되살리": "재처리",
    "쟀습니다": "측정했습니다",
    "서명된": "서명한",
    "clone": "클론",
    "기아 상태": "기아(starvation)",
}


def found(text: str, instead: dict[str, str]) -> list[str]:
    """Each phrase in the text that has a better one, with that."""
    flat = " ".join(text.split())
    return [
        f"{flat[max(0, match.start() - 30) : match.end() + 30]!r}: {better}"
        for pattern, better in instead.items()
        for match in re.finditer(pattern, flat)
    ]


def shown_texts(path: Path) -> Iterator[tuple[int, str]]:
    """The texts in a source file that may be shown, by line: all but docstrings, except those that are help."""
    module = ast.parse(path.read_text("utf-8"))
    shows_docstrings = str(path.relative_to(PACKAGE)).startswith(SHOWN)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(module)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(module):
        if isinstance(node, ast.JoinedStr):
            yield (
                node.lineno,
                "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values),
            )
        elif isinstance(node, ast.Constant) and (shows_docstrings or id(node) not in docstrings):
            yield node.lineno, str(node.value)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_texts_of_the_program_are_plain(path: Path) -> None:
    assert [(line, phrase) for line, text in shown_texts(path) for phrase in found(text, INSTEAD)] == []


def explanations(path: Path) -> Iterator[tuple[int, str]]:
    """The docstrings and comments in a source file, by line."""
    source = path.read_text("utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
            yield node.body[0].lineno, text
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_docstrings_and_comments_are_plain(path: Path) -> None:
    assert [(line, phrase) for line, text in explanations(path) for phrase in found(text, INSTEAD)] == []


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if path != KOREAN], ids=lambda path: path.name)
def test_documents_are_plain(document: Path) -> None:
    assert found(document.read_text("utf-8"), INSTEAD) == []


def test_the_korean_readme_uses_the_terms_of_the_field() -> None:
    text = KOREAN.read_text("utf-8")
    assert found(text, INSTEAD_IN_KOREAN) == []
    for term in ("컨슈머 지연(lag)", "감사(audit)로 마무리", "기아(starvation)", "재처리", "헬스 체크 프로브용"):
        assert term in text


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("start aging anew", 1),
        ("is no Redis", 1),
        ("there is no server 'x'", 0),
        ("is no longer there", 0),
        ("20 at the most, for ever", 2),
        ("what is not ours", 1),
        ("records, and goes\n    on", 1),
        ("goes only on", 0),
        ("Gives how many", 1),
        ("a recommendation, amended", 0),
    ],
)
def test_phrases_are_found(text: str, count: int) -> None:
    assert len(found(text, INSTEAD)) == count
