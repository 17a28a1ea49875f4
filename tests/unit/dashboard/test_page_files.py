"""The page's files: what is vendored is unchanged, nothing is inline or set as HTML, and colours can be read."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from itertools import product
from pathlib import Path

import pytest

from sesacctl.dashboard.recording import STATIC, bundle
from tests.helpers.browser import AXE

VENDORED = [STATIC / "vendor", AXE.parent]
SCRIPTS = sorted(STATIC.glob("*.js"))
MODULES = [path for path in SCRIPTS if path.name not in ("early.js", "shared_stream.js")]
# A declaration at the top of a module, of one name or of several.
TOP = re.compile(r"^(?:export )?(?:async )?(?:function|class|const|let) (\[.*?\]|\{.*?\}|\w+)", re.MULTILINE)
AS_HTML = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|setAttribute\(\"style"
)
LEAST = 4.5  # WCAG 2.2, AA, of text of any size
ON = {
    "text": ("ground", "card", "raised", "ok-soft", "slow-soft", "stalled-soft", "away-soft", "accent-soft"),
    "muted": ("ground", "card", "raised", "ok-soft", "slow-soft", "stalled-soft", "away-soft", "unknown-soft"),
    "accent": ("card", "raised", "accent-soft"),
    "on-accent": ("accent",),
    "ok": ("ok-soft", "card", "raised"),
    "slow": ("slow-soft", "card", "raised"),
    "stalled": ("stalled-soft", "card", "raised", "accent-soft"),
    "away": ("away-soft", "card", "raised", "accent-soft"),
    "unknown": ("unknown-soft", "card"),
}
Colour = tuple[float, float, float]


@pytest.mark.parametrize("folder", VENDORED, ids=lambda path: path.parent.name)
def test_vendored_files_are_as_they_were_published(folder: Path) -> None:
    lines = (folder / "SHA256SUMS").read_text("utf-8").splitlines()
    sums = {line.split("  ")[1]: line.split("  ")[0] for line in lines if not line.startswith("#")}
    found = {path.name: sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.name in sums}
    assert found == sums
    assert {path.name for path in folder.iterdir()} == {*sums, "SHA256SUMS"}


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_set_no_html_and_evaluate_nothing(path: Path) -> None:
    assert AS_HTML.findall(path.read_text("utf-8")) == []


def test_the_page_has_nothing_inline_and_nothing_from_elsewhere() -> None:
    text = (STATIC / "index.html").read_text("utf-8")
    assert re.findall(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=", text) == []
    named = re.findall(r'(?:src|href)="([^"#][^"]*)"', text)
    files = [name.removeprefix("/static/") for name in named if name.startswith("/static/")]
    assert [name for name in files if not (STATIC / name).is_file()] == []
    assert {name for name in named if not name.startswith(("/static/", "data:image/svg+xml,"))} == {"/plain"}
    sheets = [path.read_text("utf-8") for path in STATIC.rglob("*.css")]
    assert [each for sheet in sheets for each in re.findall(r"@import|url\(", sheet)] == []


def test_every_text_that_the_page_names_is_there() -> None:
    named = set(re.findall(r'data-(?:t|label)="(\w+)"', (STATIC / "index.html").read_text("utf-8")))
    for language in ("words_en.js", "words_ko.js"):
        block = (STATIC / language).read_text("utf-8").partition("  page: {\n")[2].partition("\n  },")[0]
        assert set(re.findall(r"^    (\w+):", block, re.MULTILINE)) == named


def test_modules_can_be_joined_into_one() -> None:
    names = Counter(name for path in MODULES for name in _declared(path.read_text("utf-8")))
    assert names.total() > 100
    assert [name for name, times in names.items() if times > 1] == []
    joined = bundle(STATIC, "main.js")
    assert re.findall(r"^(?:import|export)\b.*", joined, re.MULTILINE) == []
    assert set(_declared(joined)) == set(names)


def _declared(text: str) -> Iterator[str]:
    for found in TOP.finditer(text):
        yield from re.findall(r"\w+", found[1])


def _rgb(text: str) -> Colour:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _luminance(colour: Colour) -> float:
    parts = [each / 255 for each in colour]
    red, green, blue = (each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: Colour, other: Colour) -> float:
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _tinted(colour: Colour, ground: Colour, part: float) -> Colour:
    red, green, blue = (part * one + (1 - part) * other for one, other in zip(colour, ground, strict=True))
    return red, green, blue


def test_colours_can_be_read_in_light_and_dark() -> None:
    sheet = (STATIC / "style.css").read_text("utf-8")
    pairs = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", sheet)
    owners = [pair for name, *pair in pairs if name == "own"]
    colours = {name: pair for name, *pair in pairs if name != "own"}
    assert len(owners) == 9
    pale = []
    for mode, (text, grounds) in product((0, 1), ON.items()):
        for ground in grounds:
            found = _contrast(_rgb(colours[text][mode]), _rgb(colours[ground][mode]))
            pale += [(text, ground, mode, round(found, 2))] if found < LEAST else []
    for mode, (number, owner) in product((0, 1), enumerate(owners)):
        card = _rgb(colours["card"][mode])
        found = _contrast(_rgb(owner[mode]), _tinted(_rgb(owner[mode]), card, 0.14))  # as .tile-owner mixes it
        pale += [("owner", number, mode, round(found, 2))] if found < LEAST else []
    assert pale == []
