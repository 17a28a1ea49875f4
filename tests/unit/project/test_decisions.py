"""The decision records: short, of one shape, and about code that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.helpers import documents
from tests.helpers.documents import ROOT

RECORDS = sorted((ROOT / "docs" / "decisions").glob("*.md"))
MOST_LINES = 60
_PATH = re.compile(r"^[\w./-]+\.(?:py|toml|md)$")
_ROOTS = (ROOT, ROOT / "sesacctl")


def test_records_are_numbered_without_a_gap() -> None:
    assert [int(path.name[:4]) for path in RECORDS] == list(range(1, len(RECORDS) + 1))
    assert len(RECORDS) >= 8


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_record_has_all_sections_and_is_short(path: Path) -> None:
    text = path.read_text("utf-8")
    (level, title), *sections = documents.headings(text)
    assert (level, title.split(".")[0]) == ("#", str(int(path.name[:4])))
    names = [name for _, name in sections]
    assert [names[0], names[1], names[-2], names[-1]] == ["Context", "Decision", "Consequences", "Reconsider when"]
    assert names[2].startswith("Tried")
    assert len(text.splitlines()) <= MOST_LINES


@pytest.mark.parametrize("path", RECORDS, ids=lambda path: path.stem)
def test_record_names_files_that_exist(path: Path) -> None:
    text = path.read_text("utf-8")
    named = [span for span in documents.code_spans(text) if _PATH.match(span)]
    assert [name for name in named if not any((root / name).exists() for root in _ROOTS)] == []
