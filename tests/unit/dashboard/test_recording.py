"""One file that plays a run: whole, closed to the network, and with nothing in it that could act."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sesacctl.broker.groups import Place
from sesacctl.dashboard import recording
from sesacctl.dashboard.look import Look
from sesacctl.dashboard.recording import Recorder, Recording
from sesacctl.errors import ConfigurationError
from tests.helpers.looks import looks
from tests.helpers.observations import GOOD, KAFKA

HOSTILE = "</script><script>alert(1)</script><!--\u2028\u2029"


def hostile() -> list[Look]:
    place = Place(member=HOSTILE, host=HOSTILE, address="", partitions=())
    return looks(replace(GOOD, kafka=replace(KAFKA, places=(place,))))


class Parts(HTMLParser):
    """The scripts and styles of a page, with their types, as a browser would take them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self.policy = ""
        self._inside: tuple[str, dict[str, str | None]] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = str(found["content"])
        if tag in ("script", "style"):
            self._inside = tag, found

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.found.append((*self._inside, data))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._inside = None


@pytest.fixture(scope="module")
def page() -> Iterator[str]:
    yield recording.render(Recording(hostile(), None, 2.0))


def test_the_policy_has_the_hash_of_all_that_is_inside(page: str) -> None:
    parts = Parts(page)
    acting = [(tag, text) for tag, found, text in parts.found if found.get("type") != "application/json"]
    assert len(acting) >= 4
    for _, text in acting:
        digest = b64encode(sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in parts.policy
    assert parts.policy.count("sha256-") == len(acting)
    assert "default-src 'none'" in parts.policy
    assert "unsafe" not in parts.policy


def test_nothing_is_loaded_from_anywhere(page: str) -> None:
    assert not re.search(r"<(script|link|img|iframe)[^>]*(src|href)=.(?!data:)", page)
    assert 'http-equiv="refresh"' not in page


def test_nothing_in_a_look_ends_the_script(page: str) -> None:
    [text] = [text for _, found, text in Parts(page).found if found.get("id") == "recording"]
    document = json.loads(text)
    assert document["looks"][0]["instances"][0]["member"] == HOSTILE
    assert not set("<\u2028\u2029") & set(text)


def test_modules_are_joined_after_what_they_need(tmp_path: Path) -> None:
    (tmp_path / "main.js").write_text('import { a } from "./a.js";\nimport { b } from "./b.js";\nstart(a, b);\n')
    (tmp_path / "a.js").write_text('import {\n  b,\n} from "./b.js";\nexport const a = b + 1;\n')
    (tmp_path / "b.js").write_text("export function b() {}\n")
    joined = recording.bundle(tmp_path, "main.js")
    assert " ".join(joined.split()) == "function b() {} const a = b + 1; start(a, b);"


def test_no_module_of_the_page_is_left_with_an_import(page: str) -> None:
    [text] = [text for _, found, text in Parts(page).found if found.get("type") == "module"]
    assert not re.search(r"^(import|export)\b", text, re.MULTILINE)


def test_only_the_last_half_hour_is_kept() -> None:
    recorder = Recorder(every=600.0)
    made = looks(*[GOOD] * 5)
    for look in made:
        recorder.add(look)
    assert list(recorder.recording(None).looks) == made[-3:]


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written"):
        recording.write(tmp_path / "no" / "run.html", Recording(hostile(), None, 2.0))


def test_the_file_is_written_whole(tmp_path: Path) -> None:
    file = tmp_path / "run.html"
    size = recording.write(file, Recording(hostile(), None, 2.0))
    assert file.stat().st_size == size
    assert file.read_text("utf-8").rstrip().endswith("</html>")
