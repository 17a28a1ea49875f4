"""What pydantic says of a value that does not fit, in the words that everything else is said in."""

from __future__ import annotations

import re
from collections.abc import Callable

_NUMBER = r"(-?[\d.]+)"
_SENTENCES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"Input should be a valid integer.*", lambda _: "it should be a whole number"),
    (r"Input should be a valid number.*", lambda _: "it should be a number"),
    (r"Input should be a finite number", lambda _: "it should be a number"),
    (r"Input should be a valid boolean.*", lambda _: "it should be true or false"),
    (r"Input is not a valid path", lambda _: "it should be a path"),
    (rf"Input should be greater than or equal to {_NUMBER}", lambda found: f"it should be at least {_shown(found)}"),
    (rf"Input should be less than or equal to {_NUMBER}", lambda found: f"it should be at most {_shown(found)}"),
    (r"Input should be ('.*')", lambda found: f"it should be {found[1].replace(chr(39), '')}"),
    (r"String should match pattern '\^\((\w[\w|-]*)\)\$'", lambda found: f"it should be {_any_of(found[1])}"),
    (r"String should have at least 1 character", lambda _: "it should not be empty"),
)


def plain(sentence: str) -> str:
    """The sentence in plain words; one that is not pydantic's as it is."""
    sentence = sentence.removeprefix("Value error, ")
    for pattern, words in _SENTENCES:
        if found := re.fullmatch(pattern, sentence, re.DOTALL):
            return words(found)
    return sentence


def _shown(found: re.Match[str]) -> str:
    return f"{int(found[1]):,}" if found[1].lstrip("-").isdigit() else found[1]


def _any_of(names: str) -> str:
    *most, last = names.split("|")
    return f"{', '.join(most)} or {last}" if most else last
