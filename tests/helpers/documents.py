"""The documents as data: headings, code blocks, the commands in them, and the settings table that is generated.

`python -m tests.helpers.documents` writes the settings tables again.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from pydantic import SecretStr

from sesacctl.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
ENGLISH, KOREAN = ROOT / "README.md", ROOT / "README.ko.md"
DOCUMENTS = (
    *(ENGLISH, KOREAN, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"),
    *sorted((ROOT / "docs").rglob("*.md")),
)
SHELL = ("sh", "bash")

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_CODE_SPAN = re.compile(r"`([^`\n]+)`")
_RUNNABLE = "<!-- runnable -->\n"
_TABLE = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- /settings -->)", re.DOTALL)
_OPERATORS = "();<>|&\n"


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `output` is the text block that follows directly."""

    language: str
    content: str
    runnable: bool
    output: str


def blocks(text: str) -> list[Block]:
    """All fenced blocks, in order."""
    found = list(_FENCE.finditer(text))
    result = []
    for match, after in zip_longest(found, found[1:]):
        follows = after is not None and after[1] == "text" and not text[match.end() : after.start()].strip()
        runnable = text[: match.start()].endswith(_RUNNABLE)
        result.append(Block(match[1], match[2], runnable, after[2] if after and follows else ""))
    return result


def headings(text: str) -> list[tuple[str, str]]:
    """Level and title of each heading outside code."""
    return [(match[1], match[2]) for match in _HEADING.finditer(_FENCE.sub("", text))]


def anchor(title: str) -> str:
    """What a link to the heading ends in, on GitHub as on the site."""
    return re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-")


def code_spans(text: str) -> list[str]:
    """What stands between single backticks, outside code blocks."""
    return [match[1] for match in _CODE_SPAN.finditer(_FENCE.sub("", text))]


def documented_commands(text: str) -> Iterator[list[str]]:
    """The arguments of every `sesacctl …` in shell blocks and in prose."""
    for block in blocks(text):
        if block.language in SHELL:
            yield from shell_commands(block.content)
    for span in code_spans(text):
        if span.startswith("sesacctl "):
            yield from shell_commands(span)


def shell_commands(script: str, program: str = "sesacctl") -> Iterator[list[str]]:
    """The arguments of each call of `program` in a shell script, in `$(…)` and behind `docker exec NAME` too."""
    lexer = shlex.shlex(
        script.replace("\\\n", " ").replace('"$(', "$(").replace(')"', ")"), posix=True, punctuation_chars=_OPERATORS
    )
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, "#"
    words = list(lexer)
    for position, word in enumerate(words):
        if word.rpartition("/")[2] == program:
            end = next((n for n in range(position, len(words)) if set(words[n]) <= set(_OPERATORS)), len(words))
            yield words[position + 1 : end]


def settings_table(titles: tuple[str, str, str], descriptions: dict[str, str]) -> str:
    """The Markdown table of all settings."""
    lines = ["| {} | {} | {} |".format(*titles), "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
        default = "" if value in (None, "") else f"`{value}`"
        lines.append(f"| `{name.upper()}` | {default} | {descriptions[name]} |")
    return "\n".join(lines) + "\n"


def english_table() -> str:
    """With the descriptions of the settings themselves."""
    descriptions = {name: field.description or "" for name, field in Settings.model_fields.items()}
    return settings_table(("Variable", "Default", "What it is"), descriptions)


def korean_table() -> str:
    """With the descriptions that are there already; a new setting has an empty one, which a test refuses."""
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| (.*) \|$", _table(KOREAN), re.MULTILINE)
    known = {variable.lower(): description for variable, description in rows}
    descriptions = {name: known.get(name, "") for name in Settings.model_fields}
    return settings_table(("변수", "기본값", "설명"), descriptions)


def shown_table(document: Path) -> str:
    """The settings table that a document has now."""
    return _table(document)


def _table(document: Path) -> str:
    match = _TABLE.search(document.read_text(encoding="utf-8"))
    assert match, f"{document.name} has no place for the settings table"
    return match[0]


def _write(document: Path, table: str) -> None:
    text = document.read_text(encoding="utf-8")
    document.write_text(_TABLE.sub(lambda _: table, text), encoding="utf-8")


if __name__ == "__main__":
    _write(ENGLISH, english_table())
    _write(KOREAN, korean_table())
