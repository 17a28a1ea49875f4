"""Every kind of drill is explained in two sentences in each language."""

from __future__ import annotations

import re
from itertools import product

import pytest

from sesacctl.drill.kinds import DrillKind, Explanation, Language, explain, explanations

EACH = list(product(DrillKind, Language))
NOT_TRANSLATED = {"SIGSTOP", "SIGKILL", "PostgreSQL", "Redis", "Kafka", "JSON", "ID"}


@pytest.mark.parametrize(("kind", "language"), EACH, ids=str)
def test_a_kind_is_explained_in_two_sentences(kind: DrillKind, language: Language) -> None:
    found = explain(kind, language)
    for sentence in (found.sees, found.why):
        assert len(re.findall(r"\.(?:\s|$)", sentence)) == 1, sentence
        assert sentence.endswith(".")
        assert "  " not in sentence


@pytest.mark.parametrize("kind", DrillKind)
def test_a_korean_explanation_is_korean(kind: DrillKind) -> None:
    found = explain(kind, Language.KOREAN)
    latin = set(re.findall(r"[A-Za-z]+", f"{found.sees} {found.why}"))
    assert latin <= NOT_TRANSLATED
    assert re.search(r"[가-힣]", found.sees)


def test_all_kinds_are_listed_once() -> None:
    found: list[Explanation] = explanations(Language.ENGLISH)
    assert [each.kind for each in found] == list(DrillKind)
    assert len({each.sees for each in found} | {each.why for each in found}) == 2 * len(DrillKind)
