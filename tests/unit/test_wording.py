"""No sentence of pydantic's reaches a user as it is."""

from __future__ import annotations

import re

import pytest

from sesacctl.errors import ConfigurationError
from sesacctl.settings import Settings, explain
from sesacctl.wording import plain


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("Input should be a valid integer, unable to parse string as an integer", "it should be a whole number"),
        ("Input should be a valid integer, got a number with a fractional part", "it should be a whole number"),
        ("Input should be less than or equal to 65535", "it should be at most 65,535"),
        ("Input should be greater than or equal to 0.5", "it should be at least 0.5"),
        ("Input should be 'local', 'supabase' or 'rds'", "it should be local, supabase or rds"),
        ("String should match pattern '^(text|json)$'", "it should be text or json"),
        ("Value error, a port is a number", "a port is a number"),
        ("something else", "something else"),
    ],
)
def test_a_sentence_is_put_in_plain_words(sentence: str, words: str) -> None:
    assert plain(sentence) == words


@pytest.mark.parametrize("name", Settings.model_fields)
@pytest.mark.parametrize("value", ["\t!", "-1", "99999999999", "x" * 5000])
def test_no_setting_is_refused_in_foreign_words(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name.upper(), value)
    try:
        problems = [variable.problem for variable in explain() if variable.problem]
    except ConfigurationError as error:  # without a folder for its state, nothing else is looked at
        problems = [str(error)]
    assert not [text for text in problems if re.search(r"Input should|String should|Value error|pattern", text)]
