"""The table for browsers without JavaScript."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import msgspec

from sesacctl.broker.groups import Place
from sesacctl.dashboard import plain
from sesacctl.pipeline.watch.observation import Observation
from sesacctl.pipeline.watch.probes import Waiting
from tests.helpers.looks import looks
from tests.helpers.observations import GOOD, KAFKA, database, without

HOSTILE = '<img src=x onerror="alert(1)">\u202e&amp;'


def page(*seen: Observation) -> str:
    last = looks(*seen)[-1]
    document: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(last, enc_hook=str))
    return plain.render(document)


class Tags(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_has_a_caption_and_heads_for_each_table() -> None:
    found = Tags(page(GOOD))
    assert not found.open
    assert found.tags.count("table") == found.tags.count("caption") >= 2
    assert ("http-equiv", "refresh") in found.attributes
    assert ("class", "state-ok") in found.attributes


def test_what_comes_from_outside_is_text() -> None:
    hostile = Place(member=HOSTILE, host=HOSTILE, address="", partitions=((HOSTILE, 0),))
    seen = replace(database(dead=(Waiting(HOSTILE, HOSTILE, 1, 2.0),)), kafka=replace(KAFKA, places=(hostile,)))
    text = page(GOOD, seen)
    found = Tags(text)
    assert "img" not in found.tags
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert "<bdi>&lt;img src=x" in text


def test_nothing_is_inline() -> None:
    found = Tags(page(GOOD))
    assert not {"script", "style"} & set(found.tags)
    assert not [name for name, _ in found.attributes if name == "style"]


def test_a_server_that_is_away_is_said_with_what_to_run() -> None:
    text = page(GOOD, without("PostgreSQL"))
    assert "PostgreSQL cannot be reached" in text
    assert "<code><bdi>sesacctl up</bdi></code>" in text
    assert "state-away" in text


def test_figures_that_are_not_known_are_question_marks() -> None:
    assert "<td>? " in page(without("PostgreSQL", "Kafka", "Redis"))
